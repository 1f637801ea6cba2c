"""The plan of a generation: FLOP agree with torch's own counter, and memory is found to fit a limit."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.modeling_utils import ModelMixin
from rich.console import Console
from tiny_pipeline import SIZE, drawn_portrait, tiny_pipeline, tone, with_tiny_decoder
from torch.utils.flop_counter import FlopCounterMode

from svp.diffusion import feed_forward, generation, memory_plan
from svp.diffusion.denoiser import PARTS
from svp.diffusion.generation import sampling_of
from svp.diffusion.guidance import predict_guided
from svp.diffusion.memory_plan import (
    PROCESS,
    fit_memory,
    further_bytes,
    network_bytes,
    network_shapes,
    plan_generation,
    print_plan,
    shapes_of,
    within_memory,
)
from svp.diffusion.model_folder import ASSETS
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.portrait import clips_among
from svp.diffusion.sampling import sample_video
from svp.diffusion.sampling_plan import SamplingPlan
from svp.diffusion.settings import PipelineSettings
from svp.diffusion.turbo import Turbo
from svp.errors import InputError
from svp.media.audio import write_wav
from svp.media.video import VideoWriter
from svp.presets import BASE
from svp.weights.config import INDEX, read_config

pytestmark = pytest.mark.long
GUIDED = SamplingPlan(1, 2.0, 2.0, guided_steps=1)


@pytest.fixture(scope="module")
def tiny() -> SVPPipeline:
    """To plan with only."""
    return tiny_pipeline()


@pytest.fixture(scope="module")
def mini() -> SVPPipeline:
    """Its shapes."""
    return network_shapes("mini")


def test_the_flop_of_a_window_are_those_of_a_real_one(tiny):
    pipeline = tiny_pipeline()
    c = pipeline.encode_conditions(
        torch.randn(1, 4, 4, 4), torch.randn(4, 5, 1920), torch.rand(1, 3, 4, 32, 32), torch.randn(16)
    )
    with FlopCounterMode(display=False) as counter:
        pipeline.predict_noise(torch.randn(1, 4, 4, 4, 4), 500, c, guidance_scale=2.0)
    plan = plan_generation(tiny, 4, GUIDED)
    # torch's counter knows no fused attention of a CPU, which at this size is little beside convolutions
    assert counter.get_total_flops() <= plan.parts["sampling"].flop <= 1.3 * counter.get_total_flops()
    assert (
        plan_generation(tiny, 4, replace(GUIDED, num_inference_steps=3, guided_steps=3)).parts["sampling"].flop
        == 3 * plan.parts["sampling"].flop
    )


def test_every_step_is_counted_as_what_it_computes(tiny):
    pipeline, sampling = tiny_pipeline(), SamplingPlan(4, 2.0, 2.0, guided_steps=2, deep_every=2)
    c = pipeline.encode_conditions(
        torch.randn(1, 4, 4, 4), torch.randn(4, 5, 1920), torch.rand(1, 3, 4, 32, 32), torch.randn(16)
    )
    deep: dict[tuple[int, ...], torch.Tensor] = {}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for step in range(4):
            if sampling.runs_deep(step):
                deep.clear()
            noisy, scales = torch.randn(1, 4, 4, 4, 4), sampling.guidance(step)
            predict_guided(pipeline.unet, noisy, 500.0, c, **scales, together=False, deep=deep)
    planned = plan_generation(tiny, 4, sampling).parts["sampling"].flop
    assert counter.get_total_flops() <= planned <= 1.3 * counter.get_total_flops()


def test_more_frames_of_a_video_are_more_work_and_hardly_more_memory(mini):
    short, long = (plan_generation(mini, frames, GUIDED) for frames in (250, 15000))
    assert 55 < long.flop / short.flop < 65
    assert long.peak < 1.1 * short.peak
    parameters = [p for part in (mini.denoiser, mini.vae, mini.tiny_vae, mini.style_encoder) for p in part.parameters()]
    assert short.weights == pytest.approx(sum(p.nbytes for p in parameters), rel=0.01) and short.peak > PROCESS


def test_mini_is_planned_as_it_is_shipped_and_other_weights_beside_its_own_count(mini, monkeypatch):
    assert mini.settings == PipelineSettings.parse(read_config(ASSETS / "mini" / INDEX)["settings"], INDEX)
    sizes = network_bytes(mini)
    rounded = SamplingPlan(2, 1.0, 1.0, guided_steps=2, bf16=True)
    assert further_bytes(mini, rounded) == sum(sizes[name] for name in PARTS) // 2
    distilled = SamplingPlan(2, 1.0, 1.0, guided_steps=2, distilled=True)
    monkeypatch.setattr(mini, "turbo", None)
    assert further_bytes(mini, distilled) == 0
    monkeypatch.setattr(mini, "turbo", Turbo({}))
    assert further_bytes(mini, distilled) == sizes["unet"]
    plans = [plan_generation(mini, 250, sampling) for sampling in (GUIDED, distilled)]
    assert plans[1].weights - plans[0].weights == sizes["unet"]


def test_deep_levels_that_are_kept_for_all_windows_of_a_chunk_count(tiny):
    own = tiny.settings
    plans = [
        plan_generation(tiny, own.chunk, SamplingPlan(8, 1.0, 1.0, guided_steps=8, deep_every=every))
        for every in (1, 2)
    ]
    assert own.chunk > own.window
    assert all(plans[1].parts[part].live > plans[0].parts[part].live for part in ("sampling", "decoding"))
    assert plans[1].flop < plans[0].flop


def test_a_gpu_holds_what_all_evaluations_of_guidance_take_at_once(tiny):
    one, two = (plan_generation(tiny, 8, GUIDED, device=device) for device in ("cpu", "cuda"))
    three = plan_generation(tiny, 8, replace(GUIDED, guidance_style=3.0), device="cuda")
    alone = one.parts["sampling"].live
    assert alone < two.parts["sampling"].live < three.parts["sampling"].live
    assert one.parts["sampling"].flop < two.parts["sampling"].flop < three.parts["sampling"].flop
    assert two.parts["decoding"] == one.parts["decoding"]


def test_a_gpu_holds_what_a_cpu_computes_in_pieces(tiny, monkeypatch):
    monkeypatch.setattr(feed_forward, "FRESH_BYTES", 0)
    monkeypatch.setattr(feed_forward, "ROWS", 8)
    monkeypatch.setattr(memory_plan, "_measured", {})
    pieces, whole = (plan_generation(tiny, 8, GUIDED, device=device) for device in ("cpu", "cuda"))
    monkeypatch.undo()
    assert pieces.parts["sampling"].live < plan_generation(tiny, 8, GUIDED).parts["sampling"].live
    assert whole.parts["sampling"] == plan_generation(tiny, 8, GUIDED, device="cuda").parts["sampling"]


def test_turbo_is_planned_with_the_tiny_decoder_where_there_is_one(tiny):
    turbo = SamplingPlan(2, 1.0, 1.0, guided_steps=2, tiny_decoder=True)
    exact, decoding = plan_generation(tiny, 8, turbo), with_tiny_decoder(tiny)
    channels, width, pixels = 4, 8, 3 * 8**2
    layers = 9 * (channels * width + 2 * width**2 + width * pixels) + channels * pixels
    cells = 8 * (SIZE // 8) ** 2
    planned = plan_generation(decoding, 8, turbo)
    assert planned.parts["decoding"].flop == 2 * cells * layers < exact.parts["decoding"].flop
    assert planned.weights == exact.weights + network_bytes(decoding)["tiny_vae"]


def test_the_plan_tells_the_windows_and_chunks_that_are_sampled(monkeypatch, capsys):
    pipeline = tiny_pipeline()
    pipeline.settings = pipeline.settings.model_copy(update={"overlap": 2, "num_inference_steps": 1, "turbo_steps": 1})
    sampled: list[dict[str, int]] = []

    def watched(*given: object, **options: Any) -> Iterator[torch.Tensor]:
        sampled.append({name: options[name] for name in ("window", "overlap", "chunk")})
        return sample_video(*given, **options)

    monkeypatch.setattr(generation, "sample_video", watched)
    for fast, told in (("exact", "overlap 2, chunks of 8"), ("turbo", "overlap 1, chunks of 7")):
        plan = plan_generation(pipeline, 10, sampling_of(pipeline, fast))
        print_plan(plan, "tiny", Console())
        assert f"windows of 4 frames, {told}\n" in capsys.readouterr().out
        assert len(list(pipeline.stream(drawn_portrait(), tone(0.4), head_motion="still", fast=fast))) == 10
        assert sampled.pop() == plan.sizes


def test_what_fits_is_changed_no_more_than_it_must(tiny):
    pipeline = tiny_pipeline()
    own = plan_generation(tiny, 250, GUIDED)
    for part in (pipeline.denoiser, pipeline.vae, pipeline.style_encoder):
        part.to("meta")
    settings = pipeline.settings
    same = fit_memory(pipeline, 250, GUIDED, own.peak)
    assert same.settings == settings and not same.tiled
    less = fit_memory(pipeline, 250, GUIDED, own.peak - 1)
    assert less.settings.window == settings.window and less.settings.chunk < settings.chunk and less.peak < own.peak
    with pytest.raises(InputError, match=r"--max-memory 0\.1: this model needs 0\.\d+ GB"):
        fit_memory(pipeline, 250, GUIDED, 1e8)
    resident = fit_memory(pipeline, 250, GUIDED, 1e12, device="cuda")
    assert not resident.offload
    assert fit_memory(pipeline, 250, GUIDED, resident.peak - 1, device="cuda").offload


def test_a_loaded_pipeline_is_made_to_fit_keeps_its_weights_and_is_put_back(tiny, tmp_path, monkeypatch):
    pipeline, sound = tiny_pipeline(), tmp_path / "sound.wav"
    write_wav(sound, tone(3.0))
    pipeline.turbo = Turbo({})
    shapes = shapes_of(pipeline)
    assert network_bytes(shapes) == network_bytes(pipeline) and shapes.turbo is pipeline.turbo
    assert {parameter.device.type for parameter in shapes.unet.parameters()} == {"meta"}
    own = plan_generation(shapes, 75, GUIDED)
    assert own == plan_generation(tiny, 75, GUIDED)
    with within_memory(pipeline, sound, own.peak / 1e9, GUIDED, styled=True):
        assert pipeline.settings == shapes.settings
    with within_memory(pipeline, sound, (own.peak - 1) / 1e9, GUIDED, styled=True) as plan:
        assert pipeline.settings == plan.settings and plan.sizes["chunk"] < shapes.settings.chunk
        assert pipeline.unet.device.type == "cpu"
    assert pipeline.settings == shapes.settings
    with VideoWriter(tmp_path / "clip.mp4", 640, 480) as writer:
        writer.write(np.zeros((480, 640, 3), np.uint8))
    needed = own.peak + memory_plan.CLIP * 640 * 480
    clips = clips_among([tmp_path / "saved.safetensors"], str(tmp_path / "clip.mp4"))
    assert clips == [tmp_path / "clip.mp4"] and clips_among([], "natural") == []
    with within_memory(pipeline, sound, needed / 1e9, GUIDED, styled=True, clips=clips) as plan:
        assert plan.peak == needed and plan.settings == shapes.settings
    with within_memory(pipeline, sound, (needed - 1) / 1e9, GUIDED, styled=True, clips=clips) as plan:
        assert plan.settings != shapes.settings  # what the clip takes is not there for the frames
    with (
        pytest.raises(InputError, match=r"--max-memory 0\.1"),
        within_memory(pipeline, sound, 0.1, GUIDED, styled=True),
    ):
        raise AssertionError("it does not fit")


def test_alike_networks_are_measured_once_and_others_anew(tiny, monkeypatch):
    measured: list[SVPPipeline] = []
    measure = memory_plan._measure
    monkeypatch.setattr(memory_plan, "_measure", lambda p, *a, **k: measured.append(p) or measure(p, *a, **k))
    monkeypatch.setattr(memory_plan, "_measured", {})

    def plan(pipeline: SVPPipeline, frames: int, *, styled: bool = False) -> memory_plan.GenerationPlan:
        return plan_generation(pipeline, frames, GUIDED, styled=styled)

    chunk, long, short = (plan(tiny, frames) for frames in (tiny.settings.chunk, 250, 2))
    assert len(measured) == 2 and chunk.flop < long.flop  # longer than a chunk is only more of the same
    assert plan(tiny_pipeline(), 250) == long and plan(tiny, 2) == short and len(measured) == 2
    assert plan(tiny, 250, styled=True).flop > long.flop and len(measured) == 3
    plan(with_tiny_decoder(tiny_pipeline()), 250)
    assert len(measured) == 4
    memory_plan._measured.clear()
    assert plan(shapes_of(tiny), 250) == long and len(measured) == 5


def test_weights_that_stay_on_the_gpu_beside_the_network_that_works_count():
    pipeline, distilled = tiny_pipeline(), replace(GUIDED, distilled=True)
    pipeline.turbo = Turbo({})
    whole = plan_generation(pipeline, 8, distilled, device="cuda")
    offloaded = fit_memory(pipeline, 8, distilled, whole.peak - 1, device="cuda")
    sizes = network_bytes(pipeline)
    assert offloaded.offload and offloaded.weights == max(sizes.values()) + sizes["unet"]


def test_a_saved_model_is_planned_without_its_weights_and_refused_where_it_is_damaged(tiny, tmp_path, monkeypatch):
    def read(*_: object, **__: object) -> None:
        raise AssertionError("weights are read")

    tiny_pipeline().save_pretrained(tmp_path)
    monkeypatch.setattr(ModelMixin, "from_pretrained", read)
    shapes = network_shapes(str(tmp_path))
    assert network_bytes(shapes) == network_bytes(tiny) and shapes.settings == tiny.settings
    assert plan_generation(shapes, 8, GUIDED) == plan_generation(tiny, 8, GUIDED)
    (config := tmp_path / "unet" / "config.json").write_text('{"_class_name": "DenoisingUNet"}')
    with pytest.raises(InputError, match=f"{tmp_path}: .*; copy or save the model again"):
        network_shapes(str(tmp_path))
    config.unlink()
    with pytest.raises(InputError, match=f"{tmp_path}: .*; copy or save the model again"):
        network_shapes(str(tmp_path))
    (weights := tmp_path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(InputError, match="safetensors: damaged or cut short"):
        network_shapes(str(tmp_path))


def test_base_has_a_plan_without_weights():
    base = network_shapes("base")
    plan = plan_generation(base, 2, GUIDED, tiled=True)
    assert plan.weights > 9e9 and plan.settings.image_size == BASE.image_size
    assert plan.parts["decoding"].live < 0.8e9  # whole pictures take 1.5
    whole = plan_generation(base, 2, GUIDED)
    assert 1 <= plan.parts["decoding"].flop / whole.parts["decoding"].flop <= 1.6 * 16 / 9  # a quarter is overlap
