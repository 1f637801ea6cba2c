"""The pipeline end to end with tiny random networks: determinism, streaming, lengths, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipeline import SIZE, random_style, tone, watch_styles

from svp.diffusion.build import build_pipeline
from svp.diffusion.noise import style_noise
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.portrait import Portrait
from svp.errors import InputError
from svp.face.crop import SquareCrop
from svp.media.audio import read_audio, write_wav
from svp.media.video import count_frames, probe, read_frames
from svp.presets import BASE
from svp.speech.alpha import ALPHA_SIZE, load_audio_encoder, silence


def generate(pipeline: SVPPipeline, portrait: Portrait, seconds: float = 0.5, **options: object) -> np.ndarray:
    options = {"head_motion": "still", "num_inference_steps": 2, **options}
    return pipeline(portrait=portrait, audio=tone(seconds), **options).frames


@pytest.mark.parametrize("head_motion", ["still", "natural"])
@pytest.mark.parametrize("seconds", [0.001, 0.04, 0.3, 0.32, 1.0])
def test_streaming_gives_the_frames_of_offline_and_the_length_of_the_sound(
    pipeline: SVPPipeline, portrait: Portrait, seconds: float, head_motion: str
) -> None:
    offline = generate(pipeline, portrait, seconds, head_motion=head_motion)
    stream = pipeline.stream(portrait, tone(seconds), head_motion=head_motion, num_inference_steps=2)
    assert stream.n_frames == len(offline) == max(1, int(seconds * 25 + 0.5))
    frames = list(stream)
    assert all(frame.shape == (SIZE, SIZE, 3) and frame.dtype == np.uint8 for frame in frames)
    assert np.array_equal(np.stack(frames), offline)


def test_a_minute_of_frames_runs(pipeline: SVPPipeline, portrait: Portrait) -> None:
    wider = pipeline.settings.model_copy(update={"window": 8, "chunk": 64})
    pipeline = SVPPipeline(**pipeline.components, settings=wider)
    stream = pipeline.stream(portrait, tone(61.0), head_motion="still", num_inference_steps=1, guidance_scale=1.0)
    assert sum(1 for _ in stream) == stream.n_frames == 1525


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(pipeline: SVPPipeline, portrait: Portrait) -> None:
    first = generate(pipeline, portrait, seed=5)
    assert np.array_equal(generate(pipeline, portrait, seed=5), first)
    assert not np.array_equal(generate(pipeline, portrait, seed=6), first)
    generator = torch.Generator().manual_seed(5)
    torch.rand(3, generator=generator)
    assert np.array_equal(generate(pipeline, portrait, seed=6, generator=generator), first)


def test_first_frames_do_not_depend_on_the_length(pipeline: SVPPipeline, portrait: Portrait) -> None:
    sound = tone(2.0)
    short = pipeline(portrait, sound[: 640 * 22], head_motion="still", num_inference_steps=2).frames
    long = pipeline(portrait, sound, head_motion="still", num_inference_steps=2).frames
    # the chunks of 22 frames are 0-7, 7-14 and 14-21; the sound of frames before 15 lies wholly in the shorter one
    assert np.array_equal(long[:15], short[:15])


def test_every_condition_changes_the_frames(pipeline: SVPPipeline, portrait: Portrait) -> None:
    plain = generate(pipeline, portrait)
    styles = [generate(pipeline, portrait, style=random_style(pipeline, seed)) for seed in (0, 1)]
    others = [
        *styles,
        generate(pipeline, portrait, head_motion="natural"),
        pipeline(portrait, tone(0.5, seed=9) * 0.1, head_motion="still", num_inference_steps=2).frames,
        generate(pipeline, Portrait(255 - portrait.image, portrait.landmarks, portrait.fit, portrait.crop)),
    ]
    frames = [plain, *others]
    for i, a in enumerate(frames):
        for b in frames[i + 1 :]:
            assert not np.array_equal(a, b)


def test_the_style_of_a_video_is_one_sample_from_its_seed(
    pipeline: SVPPipeline, portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = watch_styles(pipeline, monkeypatch)
    prior = random_style(pipeline)
    for seed in (1, 2, 1):
        generate(pipeline, portrait, seconds=1.0, style=prior, seed=seed)  # four chunks
    assert len(given) == 3  # one eps per video
    for style, seed in zip(given, (1, 2, 1), strict=True):
        torch.testing.assert_close(style, prior.mean + prior.variance.sqrt() * style_noise(seed, 16))  # Eq. 4
    assert not torch.allclose(given[0], given[1])


def test_guidance_scales_are_the_formula(pipeline: SVPPipeline) -> None:
    generator = torch.Generator().manual_seed(0)
    c = pipeline.encode_conditions(
        torch.randn(1, 4, 4, 4, generator=generator),
        torch.randn(3, 5, 1920, generator=generator),
        torch.rand(1, 3, 3, SIZE, SIZE, generator=generator),
        torch.randn(16, generator=generator),
    )
    latents = torch.randn(1, 4, 3, 4, 4, generator=generator)

    def raw(conditions: object) -> torch.Tensor:
        with torch.no_grad():
            return pipeline.unet(latents, 500, conditions)

    nothing, unstyled, full = raw(c.unconditional()), raw(c.without_style()), raw(c)
    assert torch.equal(pipeline.predict_noise(latents, 500, c), full)
    both = pipeline.predict_noise(latents, 500, c, guidance_scale=3.5)
    torch.testing.assert_close(both, nothing + 3.5 * (full - nothing), atol=1e-5, rtol=1e-5)
    apart = pipeline.predict_noise(latents, 500, c, guidance_audio=3.5, guidance_style=2.0)
    expected = nothing + 3.5 * (unstyled - nothing) + 2.0 * (full - unstyled)
    torch.testing.assert_close(apart, expected, atol=1e-5, rtol=1e-5)


def test_conditions_in_chunks_are_those_of_the_whole(pipeline: SVPPipeline) -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(1, 4, 4, 4, generator=generator)
    audio = torch.randn(6, 5, 1920, generator=generator)
    kps = torch.rand(1, 3, 6, SIZE, SIZE, generator=generator)
    style = torch.randn(6, 16, generator=generator)
    whole = pipeline.encode_conditions(reference, audio, kps, style).frames(2, 5)
    part = pipeline.encode_conditions(reference, audio[2:5], kps[:, :, 2:5], style[2:5])
    latents = torch.randn(1, 4, 3, 4, 4, generator=generator)
    torch.testing.assert_close(
        pipeline.predict_noise(latents, 10, whole), pipeline.predict_noise(latents, 10, part), atol=1e-5, rtol=1e-5
    )


def test_networks_run_when_frames_are_taken_and_progress_is_told(pipeline: SVPPipeline, portrait: Portrait) -> None:
    calls: list[tuple[int, int]] = []
    stream = pipeline.stream(
        portrait, tone(0.6), head_motion="still", num_inference_steps=3, callback=lambda *n: calls.append(n)
    )
    assert calls == []
    next(stream)
    first_chunk = len(calls)
    list(stream)
    total = calls[-1][1]
    assert 0 < first_chunk < total
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_the_video_file_has_the_frames_and_the_sound(pipeline: SVPPipeline, portrait: Portrait, tmp_path) -> None:
    path = tmp_path / "out" / "video.mp4"
    video = pipeline(portrait, tone(0.5), head_motion="still", num_inference_steps=1)
    video.save(path)
    info = probe(path)
    assert (info.width, info.height, info.has_audio) == (SIZE, SIZE, True)
    read = np.stack(list(read_frames(path))).astype(float)
    assert len(read) == len(video) == 13
    # random networks give noise, which H.264 coarsens; still every frame is nearest to its own
    error_NN = np.abs(read[:, None] - video.frames[None]).mean(axis=(2, 3, 4))
    assert error_NN.argmin(axis=1).tolist() == list(range(13))
    streamed = tmp_path / "streamed.mp4"
    pipeline.stream(portrait, tone(0.5), head_motion="still", num_inference_steps=1).save(streamed)
    assert np.array_equal(np.stack(list(read_frames(streamed))), read)


def test_a_video_of_the_whole_picture_is_the_crops_frames_in_it(pipeline, portrait, tmp_path) -> None:
    picture = np.tile(portrait.image, (2, 3, 1))  # 64 x 96, the crop in its second column
    wide = replace(portrait, crop=SquareCrop(1.5 * SIZE, SIZE / 2, SIZE, SIZE), picture=picture)
    options = {"head_motion": "still", "num_inference_steps": 1}
    crops = pipeline(wide, tone(0.4), **options).frames
    full = pipeline(wide, tone(0.4), frame="full", **options)
    assert full.frames.shape == (10, 2 * SIZE, 3 * SIZE, 3)
    assert (full.frames[:, SIZE:] == picture[SIZE:]).all()
    centre = np.s_[:, SIZE // 2 - 4 : SIZE // 2 + 4, SIZE + SIZE // 2 - 4 : SIZE + SIZE // 2 + 4]
    inside = crops[:, SIZE // 2 - 4 : SIZE // 2 + 4, SIZE // 2 - 4 : SIZE // 2 + 4]
    assert not np.array_equal(inside[0], inside[-1])
    correlation = np.corrcoef(full.frames[centre].ravel().astype(float), inside.ravel().astype(float))[0, 1]
    assert correlation > 0.99
    stream = pipeline.stream(wide, tone(0.4), frame="full", aspect="1:1", **options)
    assert (stream.width, stream.height) == (2 * SIZE, 2 * SIZE)
    stream.save(tmp_path / "square.mp4")
    assert probe(tmp_path / "square.mp4").width == probe(tmp_path / "square.mp4").height == 2 * SIZE
    with pytest.raises(InputError, match="prepared without its picture"):
        pipeline.stream(portrait, tone(0.1), frame="full")
    with pytest.raises(InputError, match="cropped already"):
        pipeline.stream(portrait, tone(0.1), face_box=(1.0, 2.0, 30.0, 30.0))


def test_nothing_is_left_of_a_video_that_failed(pipeline: SVPPipeline, portrait: Portrait, tmp_path) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    stream = pipeline.stream(portrait, tone(1.0), head_motion="still", num_inference_steps=1, callback=stop)
    with pytest.raises(KeyboardInterrupt):
        stream.save(tmp_path / "video.mp4")
    assert list(tmp_path.iterdir()) == []


def test_unusable_inputs_are_named(pipeline: SVPPipeline, portrait: Portrait, tmp_path) -> None:
    sound = tone(0.2)
    style = random_style(pipeline)
    foreign = type(style)(style.mean, style.variance, style.neutral, "other", name="foreign")
    (tmp_path / "broken.safetensors").write_text("no style")
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    for problem, arguments in {
        "nobody.png": {"portrait": tmp_path / "nobody.png"},
        "no face found": {"portrait": tmp_path / "black.png"},
        "no picture": {"portrait": np.zeros((4, 4), np.uint8)},
        "a.wav": {"audio": tmp_path / "a.wav"},
        "audio: list": {"audio": [0.0, 1.0]},
        "mono floats": {"audio": np.zeros((2, 100), np.float32)},
        "no such style": {"style": tmp_path / "none.mp4"},
        "no style of the gallery": {"style": "gleeful"},
        "not a saved style": {"style": tmp_path / "broken.safetensors"},
        "style encoder other": {"style": foreign},
        "no such head motion": {"head_motion": "nodding"},
        "retarget points": {"retarget": "points"},
        "retarget none": {"retarget": "none"},
        "retarget pose": {"head_motion": np.zeros((3, 8, 2))},
        "holds no points": {"head_motion": np.zeros((3, 4, 2)), "retarget": "none"},
        "steps 0": {"num_inference_steps": 0},
    }.items():
        with pytest.raises(InputError, match=problem):
            pipeline.stream(**{"portrait": portrait, "audio": sound, "head_motion": "still", **arguments})


def test_a_silent_recording_is_zeros_as_in_training(pipeline: SVPPipeline, portrait: Portrait, monkeypatch) -> None:
    blocks = list(silence(700))
    assert sum(map(len, blocks)) == 700 and blocks[0].shape[1] == ALPHA_SIZE and not any(b.any() for b in blocks)
    seen: list[torch.Tensor] = []
    encode = pipeline.encode_conditions

    def watched(reference: object, audio: torch.Tensor | None, *rest: object) -> object:
        seen.extend([] if audio is None else [audio])
        return encode(reference, audio, *rest)

    monkeypatch.setattr(pipeline, "encode_conditions", watched)
    dither = np.random.default_rng(0).choice([-1, 0, 1], 16000 * 3 // 10).astype(np.float32) / 32768
    options = {"head_motion": "still", "num_inference_steps": 1}
    quiet = pipeline(portrait, dither, **options).frames
    assert seen and not any(windows.any() for windows in seen)
    assert np.array_equal(pipeline(portrait, np.zeros_like(dither), **options).frames, quiet)
    seen.clear()
    pipeline(portrait, tone(0.3), **options)
    assert all(windows.any() for windows in seen)


def test_the_audio_window_is_the_audio_projections(pipeline: SVPPipeline) -> None:
    assert pipeline.audio_radius == 2


def test_a_portrait_of_another_size_is_refused(pipeline: SVPPipeline, portrait: Portrait) -> None:
    larger = replace(portrait, image=np.zeros((2 * SIZE, 2 * SIZE, 3), np.uint8))
    with pytest.raises(InputError, match=f"{2 * SIZE} x {2 * SIZE} pixels, this model makes {SIZE} x {SIZE}"):
        generate(pipeline, larger)


def test_what_is_saved_after_frames_were_taken_has_their_sound_cut(
    pipeline: SVPPipeline, portrait: Portrait, tmp_path
) -> None:
    sound = tone(0.8)
    options = {"head_motion": "still", "num_inference_steps": 1}
    stream = pipeline.stream(portrait, sound, **options)
    first = [next(stream) for _ in range(5)]
    heard = stream.sound
    assert heard.rate == 16000 and np.array_equal(np.concatenate(list(heard.blocks())), sound[5 * 640 :])
    rest = stream.collect()
    assert len(first) + len(rest) == stream.n_frames == 20
    assert np.array_equal(np.concatenate(list(rest.sound.blocks())), sound[5 * 640 :])
    # in a file too: the sound is silent up to its middle, where half of the frames were taken
    sound[: len(sound) // 2] *= 1e-4
    write_wav(tmp_path / "sound.wav", sound)
    stream = pipeline.stream(portrait, tmp_path / "sound.wav", **options)
    for _ in range(10):
        next(stream)
    stream.save(tmp_path / "rest.mp4")
    assert len(list(read_frames(tmp_path / "rest.mp4"))) == 10
    loudness = np.abs(read_audio(tmp_path / "rest.mp4")[:6400]).reshape(4, -1).max(axis=1)
    assert (loudness > 0.1).all()


def test_the_audio_encoder_must_be_the_models(pipeline: SVPPipeline, monkeypatch) -> None:
    parts = {**pipeline.components, "style_encoder": None}
    settings = pipeline.settings.model_copy(update={"audio_encoder": "whisper-tiny/raw"})
    monkeypatch.setattr("svp.speech.alpha.load_audio_encoder", lambda _: load_audio_encoder("log-mel"))
    with pytest.raises(InputError, match="whisper-tiny/raw: this is log-mel"):
        _ = SVPPipeline(**parts, settings=settings).audio_encoder


def test_a_pipeline_on_the_meta_device_has_shapes_and_no_memory() -> None:
    with torch.device("meta"):
        shapes = build_pipeline(BASE, seed=0)
    parameters = [p for part in (shapes.denoiser, shapes.vae, shapes.style_encoder) for p in part.parameters()]
    assert all(p.is_meta for p in parameters)
    assert sum(p.numel() for p in parameters) > 1e9


def test_lengths_are_counted_in_whole_numbers() -> None:
    assert [count_frames(n) for n in (0, 1, 640, 959, 960, 16000 * 61, 16000 * 600 + 1)] == [1, 1, 1, 1, 2, 1525, 15000]
