"""Modes of speed: what exact never changes, what the approximations declare, and the parts that save time exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import cpu_offload_with_hook
from tiny_denoiser import tiny_denoiser, tiny_inputs
from tiny_pipeline import SIZE, drawn_portrait, random_style, tiny_pipeline, tone

from svp.diffusion import sampling_plan, vae
from svp.diffusion.audio_track import AudioTrack
from svp.diffusion.conditions import stack_conditions
from svp.diffusion.denoiser import PARTS
from svp.diffusion.group_norm import GroupNorm
from svp.diffusion.guidance import guided
from svp.diffusion.offload import place_of
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.sampling_plan import MODES, SamplingPlan, has_fast_bf16, plan_sampling
from svp.diffusion.settings import PipelineSettings
from svp.errors import InputError

SETTINGS = PipelineSettings(
    image_size=32, window=4, overlap=1, chunk=8, audio_encoder="a", expression_encoder="b",
    num_inference_steps=20, guidance_audio=2.0, guidance_style=3.0,
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture()
def pipeline() -> SVPPipeline:
    return tiny_pipeline()


@pytest.fixture()
def evaluated(pipeline: SVPPipeline, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """Fills with (conditional, ran its deep levels) of every evaluation of the UNet."""
    seen: list[tuple[bool, bool]] = []
    deep_runs: list[int] = []
    pipeline.unet.mid_block.register_forward_hook(lambda *_: deep_runs.append(1))
    forward = pipeline.unet.forward

    def watched(latents: object, timestep: object, given: object, **options: object) -> torch.Tensor:
        before = len(deep_runs)
        result = forward(latents, timestep, given, **options)
        seen.append((given.reference is not None, len(deep_runs) > before))
        return result

    monkeypatch.setattr(pipeline.unet, "forward", watched)
    return seen


def generate(pipeline: SVPPipeline, seconds: float = 0.16, **options: object) -> np.ndarray:
    return pipeline(drawn_portrait(), tone(seconds), head_motion="still", **options).frames


def test_a_model_brings_its_own_steps_and_a_call_may_name_others(pipeline, evaluated) -> None:
    own = pipeline.settings.model_copy(update={"num_inference_steps": 3, "guidance_audio": 1.0, "guidance_style": 1.0})
    model = SVPPipeline(**pipeline.components, settings=own)
    generate(model)
    assert len(evaluated) == 3  # four frames are one window
    generate(model, num_inference_steps=2)
    assert len(evaluated) == 5
    assert PipelineSettings.parse({**SETTINGS.model_dump(), "num_inference_steps": 7}, "x").num_inference_steps == 7


def test_exact_is_the_models_own_sampling_in_float32() -> None:
    plan = plan_sampling("exact", SETTINGS, CPU)
    assert plan == SamplingPlan(20, 2.0, 3.0, guided_steps=20, deep_every=1, bf16=False)
    assert all(plan.runs_deep(step) for step in range(20))
    given = plan_sampling("exact", SETTINGS, CPU, num_inference_steps=4, guidance_audio=1.5)
    assert (given.num_inference_steps, given.guidance(3)) == (4, {"guidance_audio": 1.5, "guidance_style": 3.0})


def test_balanced_does_what_its_row_declares(pipeline, evaluated, monkeypatch) -> None:
    monkeypatch.setitem(MODES, "balanced", replace(MODES["balanced"], steps=0.5, guided=0.5, deep_every=2, bf16=False))
    generate(pipeline, num_inference_steps=8, fast="balanced")
    both, alone = [False, True], [True]  # unconditional, conditional
    assert [conditional for conditional, _ in evaluated] == both * 4 + alone * 4
    assert [deep for _, deep in evaluated] == [True, True, False, False] * 2 + [True, False] * 2
    evaluated.clear()
    generate(pipeline, fast="balanced")
    assert len(evaluated) == 13 + 7  # 25 steps are halved and rounded up
    evaluated.clear()
    generate(pipeline, num_inference_steps=2, fast="balanced")
    assert all(deep for _, deep in evaluated)  # steps so far apart share nothing


def test_balanced_keeps_the_steps_of_a_model_that_takes_few() -> None:
    for own, wanted in ((1, 1), (2, 2), (4, 4), (6, 4), (25, 10)):
        few = SETTINGS.model_copy(update={"num_inference_steps": own, "guidance_audio": 1.0, "guidance_style": 1.5})
        plan = plan_sampling("balanced", few, CPU)
        assert plan.num_inference_steps == wanted
        scales = [plan.style_scale(step) for step in range(wanted)]
        assert scales == [1.0] * plan.guided_steps + [1.5] * (wanted - plan.guided_steps)
        turbo = few.model_copy(update={"turbo_steps": 2})  # of the model's own weights, or of distilled ones
        for folded, scale in ((False, 1.5), (True, 1.0)):
            plan = plan_sampling("turbo", turbo, CPU, folded=folded)
            assert plan.guided_steps == 0 and plan.style_scale(0) == scale
    assert plan.sizes(turbo.model_copy(update={"window": 8, "overlap": 2, "chunk": 32})) == {
        "window": 8, "overlap": 1, "chunk": 29,
    }  # fmt: skip
    asked = plan_sampling("turbo", turbo, CPU, guidance_style=3.0)
    assert asked.guidance(1) == {"guidance_audio": 1.0, "guidance_style": 3.0}
    plan = plan_sampling("exact", SETTINGS, CPU)
    assert {plan.style_scale(step) for step in range(20)} == {1.0}


@torch.no_grad()
def test_group_norm_of_rounded_pictures_is_the_plain_one_and_keeps_their_layout() -> None:
    norm = GroupNorm(4, 8)
    norm.weight.normal_(generator=torch.Generator().manual_seed(0))
    pictures = torch.randn(3, 8, 4, 4, generator=torch.Generator().manual_seed(1)).bfloat16()
    got = norm(pictures.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, torch.nn.GroupNorm.forward(norm, pictures), atol=2e-2, rtol=1e-2)
    assert got.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_a_stronger_style_attention_stands_in_for_the_guidance_of_the_style(pipeline, monkeypatch) -> None:
    inputs = tiny_inputs(batch=1)
    denoiser = tiny_denoiser()
    for block in denoiser.unet.blocks.values():
        block.attn_style.to_out[0].weight.mul_(0.1)
    given = denoiser.encode(**inputs)
    latents = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(3))

    def predict(part: object) -> torch.Tensor:
        return denoiser.unet(latents, 400, part)

    wanted = guided(predict, given, 1.0, 2.0)
    plain, stronger = ((predict(part) - wanted).norm() for part in (given, replace(given, style_scale=2.0)))
    assert stronger < 0.3 * plain
    seen: list[float] = []
    ask = pipeline.predict_noise
    monkeypatch.setattr(pipeline, "predict_noise", lambda *a, **k: seen.append(a[2].style_scale) or ask(*a, **k))
    generate(pipeline, fast="balanced", num_inference_steps=2, guidance_audio=1.0, guidance_style=1.5)
    assert seen == [1.0, 1.5]


def test_turbo_needs_a_distilled_model_and_runs_its_steps_without_guidance(pipeline, evaluated) -> None:
    with pytest.raises(InputError, match="not distilled for few steps"):
        generate(pipeline, fast="turbo")
    assert evaluated == []
    distilled = SVPPipeline(**pipeline.components, settings=pipeline.settings.model_copy(update={"turbo_steps": 2}))
    generate(distilled, fast="turbo")
    assert evaluated == [(True, True)] * 2
    with pytest.raises(InputError, match="fast quick: unknown"):
        generate(pipeline, fast="quick")


def test_scales_beyond_all_use_and_numbers_without_bounds_give_no_video(pipeline) -> None:
    for name in ("guidance_audio", "guidance_style", "guidance_scale"):
        with pytest.raises(InputError, match="choose -100 to 100"):
            generate(pipeline, **{name: 1e300})
    with torch.no_grad():
        pipeline.unet.conv_out.weight.fill_(torch.nan)
    with pytest.raises(InputError, match="made no picture"):
        generate(pipeline)


def test_bf16_is_chosen_by_what_the_processor_can(monkeypatch) -> None:
    for able, wanted in (({}, False), ({"amx_bf16": True}, True), ({"avx512_bf16": True, "amx_bf16": False}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able, raising=False)
        assert has_fast_bf16(CPU) is wanted
        assert plan_sampling("balanced", SETTINGS, CPU).bf16 is wanted
        assert not plan_sampling("exact", SETTINGS, CPU).bf16


def test_bf16_stays_near_and_does_not_leak_out_of_a_stream(pipeline, monkeypatch) -> None:
    exact = generate(pipeline, num_inference_steps=2, guidance_scale=1.0)
    distilled = SVPPipeline(**pipeline.components, settings=pipeline.settings.model_copy(update={"turbo_steps": 2}))
    monkeypatch.setattr(sampling_plan, "has_fast_bf16", lambda device: True)
    heard_in_bf16: list[bool] = []
    windows = AudioTrack.windows

    def watched(track: AudioTrack, start: int, stop: int) -> torch.Tensor:
        heard_in_bf16.append(torch.is_autocast_enabled("cpu"))
        return windows(track, start, stop)

    monkeypatch.setattr(AudioTrack, "windows", watched)
    stream = distilled.stream(drawn_portrait(), tone(0.16), head_motion="still", fast="turbo")
    first = next(stream)
    assert not torch.is_autocast_enabled("cpu")
    frames = np.stack([first, *stream])
    assert 0 < np.abs(frames.astype(int) - exact).mean() < 10
    assert heard_in_bf16 == [False]  # an encoder of sound keeps its arithmetic


@torch.no_grad()
def test_kept_deep_levels_are_exact_at_their_own_step_and_near_at_the_next() -> None:
    denoiser, inputs = tiny_denoiser(), tiny_inputs()
    given = denoiser.encode(**inputs)
    latents = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    deep: dict = {}
    for timestep in (300, 310):
        exact = denoiser.unet(latents, timestep, given)
        got = denoiser.unet(latents, timestep, given, deep=deep)
        assert torch.equal(got, exact) == (timestep == 300)
        assert (got - exact).std() < 0.1 * exact.std()
    assert len(deep) == 1
    same = denoiser.unet(latents, 300, given, deep=deep)
    torch.testing.assert_close(same, denoiser.unet(latents, 300, given), atol=1e-6, rtol=1e-6)
    denoiser.unet(latents, 300, given.unconditional(), deep=deep)
    assert len(deep) == 2  # each kind of conditions keeps its own


@pytest.mark.parametrize("style", ["one", "per frame", "none"])
@torch.no_grad()
def test_guidance_in_one_batch_is_guidance_one_after_the_other(style: str) -> None:
    denoiser, inputs = tiny_denoiser(), tiny_inputs(batch=1)
    if style == "per frame":
        inputs["style"] = torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(4))
    given = denoiser.encode(**inputs)
    if style == "none":
        given = given.without_style()
    latents = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    sizes = []

    def predict(part: object) -> torch.Tensor:
        sizes.append(part.batch_size or 1)
        return denoiser.unet(latents.repeat(sizes[-1], 1, 1, 1, 1), 400, part)

    looped = guided(predict, given, 3.5, 2.0)
    batched = guided(predict, given, 3.5, 2.0, together=True)
    assert sizes == ([1, 1, 1, 3] if style != "none" else [1, 1, 2])
    torch.testing.assert_close(batched, looped, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_conditions_of_different_scales_are_no_batch() -> None:
    given = tiny_denoiser().encode(**tiny_inputs())
    with pytest.raises(ValueError, match="audio_scale differs"):
        stack_conditions([given, replace(given, audio_scale=0.5)])


def test_frames_decoded_together_are_those_decoded_alone(pipeline, monkeypatch) -> None:
    latents = torch.randn(5, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    sizes: list[int] = []
    decode = pipeline.vae.decode
    monkeypatch.setattr(pipeline.vae, "decode", lambda part: (sizes.append(len(part)), decode(part))[1])
    together = np.stack(list(pipeline.decode_latents(latents)))
    monkeypatch.setattr(vae, "DECODE_PIXELS", 2 * SIZE**2)
    pairs = np.stack(list(pipeline.decode_latents(latents)))
    pipeline.vae.enable_slicing()
    sliced = np.stack(list(pipeline.decode_latents(latents)))
    assert sizes == [5, 2, 2, 1, 2, 2, 1]
    for other in (pairs, sliced):
        assert np.abs(together.astype(int) - other).max() <= 1 and np.mean(together != other) < 1e-3


def test_offloading_of_networks_changes_no_frame(pipeline) -> None:
    """Between a CPU and itself, for want of a GPU: that all is fetched that is used, and nothing else is different."""
    style, options = random_style(pipeline), {"num_inference_steps": 2, "guidance_scale": 2.0}
    plain = generate(pipeline, style=style, **options)
    pipeline.enable_model_cpu_offload(device="cpu")
    assert all(hasattr(getattr(pipeline, name), "_hf_hook") for name in (*PARTS, "vae"))
    assert np.array_equal(generate(pipeline, style=style, **options), plain)


def test_offloaded_networks_are_fetched_before_any_of_their_methods(pipeline) -> None:
    """Without a GPU the hooks of offloading move nothing; that they run, and when, is the same."""
    style, options = random_style(pipeline), {"num_inference_steps": 1, "guidance_scale": 1.0}
    plain = generate(pipeline, style=style, **options)
    assert place_of(pipeline.unet) == (CPU, torch.float32)
    _, hook = cpu_offload_with_hook(pipeline.unet, execution_device="cpu")
    fetched: list[str] = []
    move = pipeline.unet._hf_hook.pre_forward
    pipeline.unet._hf_hook.pre_forward = lambda *a, **k: (fetched.append("unet"), move(*a, **k))[1]
    assert np.array_equal(generate(pipeline, style=style, **options), plain)
    assert len(fetched) == 4  # keys and values of reference, style and audio, and one evaluation
    hook.offload()
    pipeline.unet._hf_hook.execution_device = "meta"
    assert place_of(pipeline.unet)[0] == torch.device("meta")  # where it computes, not where it lies


@torch.no_grad()
@pytest.mark.long
def test_compiled_blocks_compute_the_same() -> None:
    denoiser, inputs = tiny_denoiser(), tiny_inputs()
    given = denoiser.encode(**inputs)
    latents = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    wanted = [denoiser.unet(latents, 300, c) for c in (given, given.unconditional())]
    names = {type(module).__name__ for module in denoiser.unet.modules()}
    assert set(denoiser.unet._repeated_blocks) <= names
    denoiser.unet.compile_repeated_blocks(backend="eager")
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for c, plain in zip((given, given.unconditional()), wanted, strict=True):
            torch.testing.assert_close(denoiser.unet(latents, 300, c), plain, atol=1e-6, rtol=1e-6)
