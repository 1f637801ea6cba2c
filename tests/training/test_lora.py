"""Adapters: only they and the stage's small layers train, merged they are the same model, and they can be handed on."""

import re

import pytest
import torch
from tiny_training import small_options

from svp.datasets.prepared import PreparedDataset
from svp.diffusion.adapters import merge_adapters
from svp.diffusion.pipeline import SVPPipeline
from svp.errors import InputError
from svp.training import lora
from svp.training.loop import latest_checkpoint
from svp.training.networks import build_objective
from svp.training.options import recipe
from svp.training.run import _diffusion_task, train
from svp.training.stages import STAGES

pytestmark = pytest.mark.long

NEEDED = {"appearance": "prior", "motion": "appearance", "style": "motion"}
WHOLE = {
    "appearance": r"guider\.",
    "motion": r"audio_projection\.|unet\..*attn2\.to_out\.0\.",
    "style": r"style_projection\.",
}


@pytest.fixture()
def peft():
    return pytest.importorskip("peft", reason="the extra `lora` is not installed")


def weights(folder):
    pipeline = SVPPipeline.from_pretrained(folder)
    return {name: tensor.clone() for name, tensor in pipeline.denoiser.state_dict().items()}


def test_the_extra_is_asked_for_before_anything_else(tiny_dataset, tmp_path, use_tiny, monkeypatch):
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--lora: needs peft.*pip install '\.\[lora\]'"):
        train(small_options("style", tiny_dataset, None, lora=2), tmp_path / "run", resume=False, max_minutes=None)
    assert not (tmp_path / "run").exists()


def test_stages_without_a_large_network_have_no_adapters(tiny_dataset):
    with pytest.raises(InputError, match="--lora: stage prior does not use it; it belongs to app"):
        recipe("mini", "prior", tiny_dataset, None, lora=4)


@pytest.mark.parametrize("stage", NEEDED)
def test_only_adapters_and_the_small_layers_of_the_stage_train(peft, runs, tiny_dataset, stage):
    pipeline = SVPPipeline.from_pretrained(runs[NEEDED[stage]])
    options = small_options(stage, tiny_dataset, runs[NEEDED[stage]], lora=2)
    build_objective(pipeline, STAGES[stage], options)
    training = {name for name, p in pipeline.denoiser.named_parameters() if p.requires_grad}
    whole = {name for name in training if not re.search(r"\.lora_[AB]\.", name)}
    assert whole and all(re.match(WHOLE[stage], name) for name in whole)
    assert len(training) > len(whole)
    assert not any(re.match(WHOLE[stage], name) for name in training - whole)


def test_the_model_of_a_run_is_the_model_before_with_its_adapters(peft, runs, tiny_dataset, use_tiny, tmp_path):
    options = small_options("style", tiny_dataset, runs["motion"], lora=2)
    model = train(options, tmp_path / "run", resume=False, max_minutes=None)
    before, after = weights(runs["motion"]), weights(model)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("attn_style.to_out.0.weight" in name for name in changed)
    assert any(name.startswith("style_projection.") for name in changed)
    assert not any("conv" in name or "resnets.0.norm" in name for name in changed)

    adapters = tmp_path / "run" / "adapters.safetensors"
    shared = SVPPipeline.from_pretrained(runs["motion"])
    shared.merge_adapters(adapters)
    for name, tensor in shared.denoiser.state_dict().items():
        assert torch.equal(tensor, after[name]), name
    with pytest.raises(InputError, match=r"adapters\.safetensors: not made for this model"):
        SVPPipeline.from_pretrained("mini").merge_adapters(adapters)


def test_merged_adapters_compute_what_unmerged_ones_do(peft, runs, tiny_dataset):
    pipeline = SVPPipeline.from_pretrained(runs["motion"])
    options = small_options("style", tiny_dataset, runs["motion"], lora=4)
    task = _diffusion_task(pipeline, PreparedDataset(tiny_dataset), STAGES["style"], options)
    torch.manual_seed(1)
    for parameter in task.parameters:
        torch.nn.init.normal_(parameter, std=0.1)  # lora_B starts at zero, which would say nothing
    batch = torch.utils.data.default_collate([task.train[n] for n in range(2)])
    with torch.no_grad():
        unmerged = task.objective(batch)[0]
        tensors = lora.take_adapters(pipeline.denoiser, STAGES["style"])
        without = task.objective(batch)[0]
        merge_adapters(pipeline.denoiser, tensors)
        merged = task.objective(batch)[0]
    torch.testing.assert_close(merged, unmerged, rtol=1e-5, atol=1e-6)
    assert abs(float(without - unmerged)) > 1e-4
    assert not any("lora" in name for name in pipeline.denoiser.state_dict())


def test_resumed_equals_uninterrupted(peft, tmp_path, tiny_dataset, use_tiny, runs):
    def run(folder, steps, resume):
        options = small_options(
            "motion", tiny_dataset, runs["appearance"], steps=steps, ema_decay=0.9, warmup_steps=2, lora=2
        )
        return train(options, tmp_path / folder, resume=resume, max_minutes=None)

    whole = weights(run("whole", 4, False))
    run("parts", 2, False)
    assert latest_checkpoint(tmp_path / "parts").name == "step_00000002"
    parts = weights(run("parts", 4, True))
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name


def test_a_file_that_holds_no_adapters_is_named(tmp_path, runs):
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"a\.safetensors: no readable adapters"):
        SVPPipeline.from_pretrained(runs["vae"]).merge_adapters(tmp_path / "a.safetensors")
