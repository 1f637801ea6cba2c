"""A video that was interrupted goes on after its last complete chunk and comes out as if nothing had happened."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pipeline import drawn_portrait, random_style, tiny_pipeline, tone

from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.video import partial_folder
from svp.errors import InputError
from svp.media.audio import write_wav
from svp.media.video import read_frames
from svp.style.timeline import StyleTimeline
from warm_process import start_process, wait_until

pytestmark = pytest.mark.long

OPTIONS = {"head_motion": "natural", "num_inference_steps": 2}


def evaluations(pipeline: SVPPipeline, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows with every window that the networks are asked for."""
    calls: list[int] = []
    predict = pipeline.predict_noise
    monkeypatch.setattr(pipeline, "predict_noise", lambda *a, **k: calls.append(1) or predict(*a, **k))
    return calls


@pytest.mark.parametrize(("taken", "kept"), [(1, 1), (8, 1), (9, 2), (25, 4)])  # chunks give 8, 7, 7, 7, 1 frames
def test_it_goes_on_after_the_last_complete_chunk(pipeline, tmp_path, monkeypatch, taken, kept):
    portrait, sound, partial = drawn_portrait(), tone(1.2), tmp_path / "video.mp4.partial"
    two = StyleTimeline((0.0, 0.5), (random_style(pipeline, 1), random_style(pipeline, 2)))
    whole = pipeline(portrait, sound, two, **OPTIONS).frames
    begun = pipeline.stream(portrait, sound, two, partial=partial, **OPTIONS)
    for _ in range(taken):
        next(begun)
    assert len(list(partial.glob("*.safetensors"))) == kept
    told: list[tuple[int, int]] = []
    said: list[str] = []
    monkeypatch.setattr("svp.diffusion.kept.LOGGER.info", said.append)
    calls = evaluations(pipeline, monkeypatch)
    again = pipeline.stream(portrait, sound, two, partial=partial, callback=lambda *n: told.append(n), **OPTIONS)
    assert np.array_equal(np.stack(list(again)), whole)
    total = told[-1][1]
    assert told == [(n, total) for n in range(1, total + 1)]
    chunk = 3 * OPTIONS["num_inference_steps"]  # windows of a whole chunk, times steps
    assert len(calls) == total - kept * chunk
    assert said == [f"{partial}: goes on after {kept} finished chunks"]
    pipeline.stream(portrait, sound, two, partial=partial, seed=1, **OPTIONS)
    assert said[1:] == [f"{partial}: 5 chunks that were made with other arguments, inputs or versions go"]


def test_another_video_and_a_damaged_chunk_are_not_gone_on_with(pipeline, tmp_path, monkeypatch):
    portrait, sound, partial = drawn_portrait(), tone(0.9), tmp_path / "partial"
    whole = pipeline(portrait, sound, **OPTIONS).frames
    other = pipeline(portrait, sound, seed=1, **OPTIONS).frames
    list(pipeline.stream(portrait, sound, partial=partial, **OPTIONS))
    (partial / "000001.safetensors").write_bytes(b"cut")
    calls = evaluations(pipeline, monkeypatch)
    assert np.array_equal(np.stack(list(pipeline.stream(portrait, sound, partial=partial, **OPTIONS))), whole)
    assert 0 < len(calls) <= 6
    calls.clear()
    assert np.array_equal(np.stack(list(pipeline.stream(portrait, sound, partial=partial, seed=1, **OPTIONS))), other)
    assert len(calls) > 6
    changed = tiny_pipeline()
    changed.unet.conv_out.bias.data += 0.5
    fresh = changed(portrait, sound, seed=1, **OPTIONS).frames
    kept = changed.stream(portrait, sound, partial=partial, seed=1, **OPTIONS)
    assert np.array_equal(np.stack(list(kept)), fresh) and not np.array_equal(fresh, other)


@pytest.mark.parametrize(
    "other",
    [(torch, "get_num_threads", lambda: 99), (torch.backends.cpu, "get_cpu_capability", lambda: "ABACUS")],
    ids=["threads", "instructions"],
)
def test_chunks_of_another_arithmetic_are_not_gone_on_with(pipeline, tmp_path, monkeypatch, other):
    portrait, sound, partial = drawn_portrait(), tone(0.9), tmp_path / "partial"
    whole = np.stack(list(pipeline.stream(portrait, sound, partial=partial, **OPTIONS)))
    calls = evaluations(pipeline, monkeypatch)
    list(pipeline.stream(portrait, sound, partial=partial, **OPTIONS))
    assert not calls
    told: list[int] = []
    monkeypatch.setattr(*other)
    again = pipeline.stream(portrait, sound, partial=partial, callback=lambda _, n: told.append(n), **OPTIONS)
    assert np.array_equal(np.stack(list(again)), whole) and len(calls) == told[-1]


def test_a_folder_that_cannot_be_written_is_told(pipeline, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/partial: cannot be written"):
        pipeline.stream(drawn_portrait(), tone(0.2), partial=tmp_path / "file" / "partial", **OPTIONS)


def make_video(output: Path, wait: float) -> None:
    """A video of `sound.wav` beside it, waiting after every step."""
    torch.set_num_threads(1)
    with partial_folder(output) as partial:
        stream = tiny_pipeline().stream(
            drawn_portrait(),
            output.with_name("sound.wav"),
            partial=partial,
            num_inference_steps=2,
            callback=lambda *_: time.sleep(wait),
        )
        stream.save(output)


def test_a_killed_process_leaves_no_video_but_what_the_next_one_needs(tmp_path):
    write_wav(tmp_path / "sound.wav", tone(1.2))
    plain = start_process(make_video, tmp_path / "plain.mp4", 0)
    killed = start_process(make_video, tmp_path / "video.mp4", 0.1)
    partial = tmp_path / "video.mp4.partial"
    wait_until(lambda: (partial / "000001.safetensors").exists())
    with (
        pytest.raises(InputError, match=r"video\.mp4: another run is making it"),
        partial_folder(tmp_path / "video.mp4"),
    ):
        raise AssertionError("two at once")
    killed.kill()
    killed.join()
    plain.join(300)
    assert plain.exitcode == 0
    assert not (tmp_path / "video.mp4").exists() and (partial / "000001.safetensors").exists()
    resumed = start_process(make_video, tmp_path / "video.mp4", 0)
    resumed.join(300)
    assert resumed.exitcode == 0
    read = [np.stack(list(read_frames(tmp_path / name))) for name in ("plain.mp4", "video.mp4")]
    assert np.array_equal(*read) and len(read[0]) == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.mp4", "sound.wav", "video.mp4"]
