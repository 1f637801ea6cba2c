"""After each stage exactly the parameters that should have moved have moved, and nothing else."""

import itertools
import json
import re
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from tiny_training import logged, small_options
from torch.utils.data import default_collate

from svp.datasets.prepared import PreparedDataset
from svp.diffusion.build import build_pipeline, build_tiny_decoder
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.presets import PRESETS
from svp.training import stages
from svp.training.loop import check_run
from svp.training.model_folder import stages_done
from svp.training.options import recipe
from svp.training.run import _diffusion_task, _pictures, train

pytestmark = pytest.mark.long

NETWORKS = ("vae", "unet", "reference_net", "guider", "audio_projection", "style_projection", "style_encoder")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    pipeline = SVPPipeline.from_pretrained(folder)
    return {
        f"{network}.{name}": tensor.clone()
        for network in NETWORKS
        for name, tensor in getattr(pipeline, network).state_dict().items()
    }


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


AUDIO = r"unet\..*transformer_blocks\.0\.(attn2|norm2)\."
MOTION = r"unet\..*motion_modules\."
STYLE = r"unet\..*\.(attn_style|norm_style)\."
# What of ReferenceNet leads nowhere: its text attention sees one zero token (only its output bias acts), and nothing is
# taken from it after its last norm2.
REFERENCE_IDLE = (
    r"reference_net\.(conv_out\.|.*attn2\.to_(q|k|v)\.|.*attn2\.to_out\.0\.weight"
    r"|up_blocks\.1\.attentions\.1\.(proj_out|transformer_blocks\.0\.(attn2|norm3|ff))\.)"
)
STYLE_IDLE = rf"{REFERENCE_IDLE}|audio_projection\.feature_"  # the scale of the features is set in stage motion
STAGES = {  # run -> (run before, what trains, what of it gets no gradient)
    "prior": ("vae", r"style_encoder\.", r"^$"),
    "appearance": ("prior", rf"(?!{AUDIO}|{MOTION}|{STYLE})unet\.|reference_net\.|guider\.", REFERENCE_IDLE),
    "motion": ("appearance", rf"(?!{STYLE})unet\.|audio_projection\.", r"^$"),
    "literal": ("appearance", rf"{AUDIO}|{MOTION}|audio_projection\.", r"^$"),
    "style": ("motion", r"unet\.|reference_net\.|guider\.|audio_projection\.|style_projection\.", STYLE_IDLE),
    "single frames": (
        "motion",
        rf"(?!{MOTION})unet\.|reference_net\.|guider\.|audio_projection\.|style_projection\.",
        STYLE_IDLE,
    ),
    "turbo": ("style", r"unet\.", r"^$"),
    "literal style": ("motion", rf"{STYLE}|style_projection\.", r"^$"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_exactly_the_parameters_of_the_stage_move(runs, stage):
    before, trains, idle = STAGES[stage]
    old = weights(runs[before])
    expected = {name for name in old if re.match(trains, name) and not re.match(idle, name)}
    assert expected
    assert moved(old, weights(runs[stage])) == expected


def test_the_vae_moves_alone_and_as_a_whole(runs, tiny_preset, tiny_dataset):
    start = build_pipeline(tiny_preset, seed=0)
    start.vae.start_from_pca(_pictures(PreparedDataset(tiny_dataset)))
    old = {f"{n}.{k}": t for n in NETWORKS for k, t in getattr(start, n).state_dict().items()}
    assert moved(old, weights(runs["vae"])) == {name for name in old if name.startswith("vae.")}


def test_the_tiny_decoder_starts_from_the_vaes_linear_map_and_moves_alone(runs, tiny_preset):
    assert moved(weights(runs["turbo"]), weights(runs["tiny-vae"])) == set()
    pipeline = SVPPipeline.from_pretrained(runs["tiny-vae"])
    start = build_tiny_decoder(tiny_preset, pipeline.vae, seed=0)
    start.start_from(pipeline.vae.patch_out)
    old, new = start.state_dict(), pipeline.tiny_vae.state_dict()
    assert moved(old, new) == set(old)
    assert all((new[name] - old[name]).abs().max() <= 0.1 for name in old)  # three steps of 0.01
    assert pipeline.tiny_vae.config.scaling_factor == pipeline.vae.config.scaling_factor != 1.0
    assert stages_done(runs["tiny-vae"])[-2:] == ["turbo", "tiny-vae"]


def test_a_tiny_decoder_does_not_outlive_the_latents_it_was_taught(runs, tiny_dataset, use_tiny, tmp_path):
    models = {}
    for stage in ("vae", "appearance"):
        options = small_options(stage, tiny_dataset, runs["tiny-vae"], steps=1)
        models[stage] = SVPPipeline.from_pretrained(train(options, tmp_path / stage, resume=False, max_minutes=None))
    assert models["vae"].tiny_vae is None and models["appearance"].tiny_vae is not None


def test_style_layers_stay_zero_until_their_stage(runs):
    outputs = {name: tensor for name, tensor in weights(runs["motion"]).items() if "attn_style.to_out" in name}
    assert outputs and not any(tensor.any() for tensor in outputs.values())
    assert all(t.any() for name, t in weights(runs["style"]).items() if "attn_style.to_out" in name)


def test_a_second_round_of_motion_goes_on_from_the_first(runs, tiny_dataset, use_tiny, tmp_path):
    """The audio layers' outputs are zeroed once, when the stage is trained for the first time."""
    options = small_options("motion", tiny_dataset, runs["motion"], steps=1, learning_rate=1e-6)
    again = weights(train(options, tmp_path / "again", resume=False, max_minutes=None))
    before = weights(runs["motion"])
    outputs = [name for name in before if re.match(r"unet\..*attn2\.to_out\.0\.weight", name)]
    assert outputs and all(before[name].abs().max() > 1e-4 for name in outputs)
    for name in outputs:
        torch.testing.assert_close(again[name], before[name], atol=1e-5, rtol=0)


def test_latents_have_a_scale_and_a_neutral_code_is_set(runs):
    pipeline = SVPPipeline.from_pretrained(runs["style"])
    assert pipeline.vae.config.scaling_factor != 1.0
    assert pipeline.style_encoder.neutral_code.any()


def test_the_record_names_the_stages_and_no_path(runs):
    text = (runs["style"] / "training.json").read_text()
    assert [entry["stage"] for entry in json.loads(text)] == ["vae", "prior", "appearance", "motion", "style"]
    assert str(runs["style"].parents[1]) not in text


def test_a_stage_asks_for_the_stages_it_builds_on(tiny_dataset, tmp_path, use_tiny):
    with pytest.raises(InputError, match="needs vae"):
        train(small_options("motion", tiny_dataset, None), tmp_path / "run", resume=False, max_minutes=None)


def test_a_preset_without_a_vae_stage_starts_from_a_model_with_its_vae(
    tiny_dataset, tiny_preset, tmp_path, monkeypatch
):
    monkeypatch.setitem(PRESETS, "base", tiny_preset)
    numbers = itertools.count()

    def run(stage, init):
        options = small_options(stage, tiny_dataset, init, "base", steps=1)
        return train(options, tmp_path / str(next(numbers)), resume=False, max_minutes=None)

    for random in (None, run("prior", None)):
        with pytest.raises(InputError, match="preset base needs a model folder with its VAE"):
            run("appearance", random)
    build_pipeline(tiny_preset, seed=0).save_pretrained(tmp_path / "imported")
    with pytest.raises(InputError, match=r"stage motion needs appearance first"):
        run("motion", tmp_path / "imported")
    model = run("appearance", run("prior", tmp_path / "imported"))  # it is not asked for a stage `vae`
    assert stages_done(model) == ["prior", "appearance"]


def test_an_existing_run_is_not_overwritten(runs, tiny_dataset, use_tiny):
    run = runs["vae"].parent
    with pytest.raises(InputError, match="--resume"):
        train(small_options("vae", tiny_dataset, None), run, resume=False, max_minutes=None)
    changed = small_options("vae", tiny_dataset, None, learning_rate=1.0)
    with pytest.raises(InputError, match="learning_rate"):
        train(changed, run, resume=True, max_minutes=None)


def test_a_run_may_be_made_longer_and_watched_otherwise(tiny_dataset, tmp_path):
    options = small_options("vae", tiny_dataset, None)
    kept = options.model_dump(exclude={"accumulate", "min_snr_gamma", "sample_every"})  # as an earlier version wrote
    (tmp_path / "options.json").write_text(json.dumps(kept))
    check_run(tmp_path, small_options("vae", tiny_dataset, None, steps=9, sample_every=5), resume=True)
    with pytest.raises(InputError, match="another accumulate"):
        check_run(tmp_path, small_options("vae", tiny_dataset, None, accumulate=2), resume=True)


def test_there_must_be_a_run_to_resume(tiny_dataset, tmp_path, use_tiny):
    with pytest.raises(InputError, match="no run that could be resumed"):
        train(small_options("vae", tiny_dataset, None), tmp_path / "typo", resume=True, max_minutes=None)
    (tmp_path / "note.txt").write_text("something else")
    with pytest.raises(InputError, match="no empty folder"):
        train(small_options("vae", tiny_dataset, None), tmp_path, resume=False, max_minutes=None)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("out", ["file", "file/run", "n" * 300])
def test_a_run_folder_that_cannot_be_made_is_named(out, tiny_dataset, tmp_path, use_tiny):
    (tmp_path / "file").write_text("something else")
    with pytest.raises(InputError, match=f"{out}: cannot be a run folder .*choose another --out"):
        train(small_options("vae", tiny_dataset, None), tmp_path / out, resume=False, max_minutes=None)
    assert (tmp_path / "file").read_text() == "something else"


def test_a_run_folder_without_permission_is_named(tiny_dataset, tmp_path, use_tiny, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(InputError, match="run: no permission to write there"):
        train(small_options("vae", tiny_dataset, None), tmp_path / "run", resume=False, max_minutes=None)


def test_the_run_folder_is_checked_before_the_heavy_work(runs, tiny_dataset, monkeypatch):
    def heavy(*_):
        raise AssertionError("a model was made although the run folder cannot be used")

    run = runs["vae"].parent
    monkeypatch.setattr("svp.training.run.load_init", heavy)
    with pytest.raises(InputError, match="holds a run already"):
        train(small_options("vae", tiny_dataset, None), run, resume=False, max_minutes=None)


def test_a_loss_that_is_no_number_stops_the_run_with_advice_that_works(tiny_dataset, tmp_path, use_tiny):
    options = small_options("vae", tiny_dataset, None, learning_rate=1e30)
    with pytest.raises(
        InputError, match=r"the loss is (nan|inf) at step \d; .* lower --learning-rate in another --out"
    ):
        train(options, tmp_path / "run", resume=False, max_minutes=None)


@pytest.mark.parametrize("stage", ["appearance", "motion", "style"])
def test_activations_are_computed_twice_where_a_network_trains(runs, tiny_dataset, use_tiny, stage):
    init = runs[STAGES[stage][0]]
    options = small_options(stage, tiny_dataset, init, gradient_checkpointing=True)
    pipeline = SVPPipeline.from_pretrained(init)
    _diffusion_task(pipeline, PreparedDataset(tiny_dataset), stages.STAGES[stage], options)
    assert pipeline.unet.is_gradient_checkpointing
    assert pipeline.reference_net.is_gradient_checkpointing is (stage != "motion")


def test_computing_activations_twice_changes_no_gradient(runs, tiny_dataset, use_tiny):
    gradients, forwards = {}, {}
    for twice in (False, True):
        options = small_options("style", tiny_dataset, runs["style"], gradient_checkpointing=twice)
        pipeline = SVPPipeline.from_pretrained(runs["style"])
        task = _diffusion_task(pipeline, PreparedDataset(tiny_dataset), stages.STAGES["style"], options)
        calls = []
        pipeline.unet.down_blocks[0].resnets[0].register_forward_pre_hook(lambda *_, seen=calls: seen.append(1))
        task.objective.train()
        task.objective(default_collate([task.train[n] for n in range(2)]))[0].backward()
        gradients[twice] = [p.grad for p in task.parameters]
        forwards[twice] = len(calls)
    assert (forwards[False], forwards[True]) == (1, 2)
    assert any(gradient is not None and gradient.any() for gradient in gradients[True])
    for once, again in zip(gradients[False], gradients[True], strict=True):
        assert (once is None) is (again is None)
        if once is not None:
            torch.testing.assert_close(again, once, atol=1e-6, rtol=1e-4)


def test_the_last_validation_loss_is_that_of_the_saved_model(runs, tiny_dataset, use_tiny):
    options = small_options("style", tiny_dataset, runs["style"])
    pipeline = SVPPipeline.from_pretrained(runs["style"])
    task = _diffusion_task(pipeline, PreparedDataset(tiny_dataset), stages.STAGES["style"], options)
    with torch.no_grad():
        loss = task.objective.eval()(default_collate([task.validation[n] for n in range(2)]))[0]
    assert logged(runs["style"].parent, "validation/loss") == [(3, pytest.approx(float(loss), rel=1e-5))]


def test_an_option_of_another_stage_is_an_error(tiny_dataset):
    with pytest.raises(
        InputError, match="--train-spatial: stage appearance does not use it; it belongs to motion, style"
    ):
        recipe("mini", "appearance", tiny_dataset, None, train_spatial=True)


def test_bf16_trains_the_same_thing_less_exactly(tmp_path, runs, tiny_dataset, use_tiny):
    models = {}
    for precision in ("fp32", "bf16"):
        options = small_options("appearance", tiny_dataset, runs["prior"], precision=precision, learning_rate=1e-4)
        AcceleratorState._reset_state()  # accelerate allows one precision per process
        models[precision] = weights(train(options, tmp_path / precision, resume=False, max_minutes=None))
    AcceleratorState._reset_state()
    assert {tensor.dtype for tensor in models["bf16"].values()} == {torch.float32}
    differing = moved(models["fp32"], models["bf16"])
    assert differing
    start = weights(runs["prior"])
    steps = {p: torch.cat([(m[n] - start[n]).flatten() for n in sorted(differing)]) for p, m in models.items()}
    assert torch.nn.functional.cosine_similarity(steps["fp32"], steps["bf16"], dim=0) > 0.9
