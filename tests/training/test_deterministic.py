"""The ablation of the probabilistic style: with --deterministic a style is its mean alone."""

import json

import pytest
import torch
from tiny_training import small_options

from svp.cli import app
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.style_source import check_style
from svp.errors import InputError
from svp.presets import PRESETS
from svp.style.codes import encode_clips
from svp.style.encoder import StyleGaussian
from svp.style.prior import StylePrior
from svp.training.loop import check_run
from svp.training.options import recipe
from svp.training.run import _build_task, train
from svp.training.stages import STAGES


def styles_of(pipeline: SVPPipeline, dataset: PreparedDataset) -> dict[str, StyleGaussian]:
    return encode_clips(pipeline.style_encoder, dataset, dataset.accepted()).by_clip()


@pytest.fixture(scope="module")
def deterministic(runs, tiny_preset, tiny_dataset, tmp_path_factory):
    """Model folders after stage `prior`, and after stage `style` with a prior that was trained probabilistic."""
    root, folders = tmp_path_factory.mktemp("deterministic"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "mini", tiny_preset)
        for stage, init in (("prior", runs["vae"]), ("style", runs["motion"])):
            options = small_options(stage, tiny_dataset, init, deterministic=True)
            folders[stage] = train(options, root / stage, resume=False, max_minutes=None)
    return folders


@pytest.mark.parametrize("stage", ["prior", "style"])
def test_the_model_extracts_styles_without_variance(runs, deterministic, tiny_dataset, stage):
    dataset = PreparedDataset(tiny_dataset)
    plain = styles_of(SVPPipeline.from_pretrained(runs[stage]), dataset)
    assert all((style.variance > 0).all() for style in plain.values())
    pipeline = SVPPipeline.from_pretrained(deterministic[stage])
    assert pipeline.style_encoder.neutral_code.any()
    for clip_id, style in styles_of(pipeline, dataset).items():
        assert not style.variance.any()
        assert torch.equal(style.sample(), style.mean)
        # the prior itself was trained otherwise; stage `style` only left out sigma
        assert torch.equal(style.mean, plain[clip_id].mean) is (stage == "style")


def test_the_loss_of_the_prior_does_not_depend_on_the_noise(runs, deterministic, tiny_dataset, use_tiny):
    def losses(model, **changes):
        options = small_options("prior", tiny_dataset, model, **changes)
        pipeline = SVPPipeline.from_pretrained(model)
        task = _build_task(pipeline, PreparedDataset(tiny_dataset), STAGES["prior"], options, fresh=False, first=False)
        batch = task.train[0]
        return [float(task.objective(batch | {"noise": k * batch["noise"]})[0].detach()) for k in (1, -1)]

    first, second = losses(deterministic["prior"], deterministic=True)
    assert first == second
    first, second = losses(runs["prior"])
    assert first != second


def test_samples_of_stage_style_take_the_mean(deterministic, tiny_dataset, use_tiny):
    pipeline, dataset = SVPPipeline.from_pretrained(deterministic["style"]), PreparedDataset(tiny_dataset)
    options = small_options("style", tiny_dataset, deterministic["style"], deterministic=True)
    task = _build_task(pipeline, dataset, STAGES["style"], options, fresh=False, first=False)
    means = torch.cat([style.mean for style in styles_of(pipeline, dataset).values()])
    for n in range(4):
        assert (task.train[n]["style"] == means).all(dim=1).any()


@pytest.mark.parametrize("stage", ["prior", "style"])
def test_a_deterministic_prior_does_not_silently_become_probabilistic(
    deterministic, tiny_dataset, tmp_path, use_tiny, stage
):
    options = small_options(stage, tiny_dataset, deterministic["style"])
    with pytest.raises(InputError, match="--init: its style encoder is deterministic; go on with --deterministic"):
        train(options, tmp_path / "run", resume=False, max_minutes=None)


def test_styles_of_one_kind_are_refused_by_the_other(runs, deterministic):
    encoders = [SVPPipeline.from_pretrained(model).style_encoder for model in (runs["style"], deterministic["style"])]
    assert all(torch.equal(a, b) for a, b in zip(*(e.state_dict().values() for e in encoders), strict=True))
    for own, other in (encoders, encoders[::-1]):
        style = StylePrior(*torch.zeros(3, 16), own.fingerprint())
        check_style(style, own)
        with pytest.raises(InputError, match="made by style encoder"):
            check_style(style, other)


def test_the_option_reaches_the_model_from_the_command_line(runs, tiny_dataset, tmp_path, use_tiny):
    words = ("train", "prior", "--deterministic", "--steps", 1, "--data", tiny_dataset, "--init", runs["vae"])
    app([str(word) for word in (*words, "--out", tmp_path / "run")], standalone_mode=False)
    assert SVPPipeline.from_pretrained(tmp_path / "run" / "model").style_encoder.config["deterministic"]


@pytest.mark.parametrize("stage", ["vae", "appearance", "motion"])
def test_other_stages_refuse_the_option(tiny_dataset, stage):
    with pytest.raises(InputError, match=f"--deterministic: stage {stage} does not use it; it belongs to prior, style"):
        recipe("mini", stage, tiny_dataset, None, deterministic=True)


def test_a_run_from_before_the_option_resumes_as_it_was(tiny_dataset, tmp_path):
    plain = small_options("prior", tiny_dataset, None)
    values = plain.model_dump()
    del values["deterministic"]
    (tmp_path / "options.json").write_text(json.dumps(values))
    check_run(tmp_path, plain, resume=True)
    with pytest.raises(InputError, match="was started with another deterministic"):
        check_run(tmp_path, small_options("prior", tiny_dataset, None, deterministic=True), resume=True)
