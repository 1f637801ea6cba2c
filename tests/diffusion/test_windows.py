"""Windows, chunks and frame noise: any length, nothing stretched, nothing depends on anything but the frame."""

from itertools import pairwise

import pytest
import torch

from svp.diffusion.noise import frame_noise, seed_of, style_noise
from svp.diffusion.windows import Chunk, Window, average_windows, coverage, plan_chunks, plan_windows


@pytest.mark.parametrize(("window", "overlap"), [(8, 2), (24, 4), (5, 0), (3, 2), (1, 0)])
def test_windows_cover_every_frame_for_every_length(window: int, overlap: int) -> None:
    for n_frames in range(1, 201):
        windows = plan_windows(n_frames, window, overlap)
        assert coverage(windows, n_frames).min() >= 1
        assert windows[0].start == 0 and windows[-1].stop == n_frames
        assert {len(part) for part in windows} == {min(window, n_frames)}  # shifted, never shortened or stretched
        for a, b in pairwise(windows):
            assert a.stop - b.start >= overlap and a.start < b.start


@pytest.mark.parametrize(("chunk", "window", "overlap"), [(32, 8, 2), (64, 24, 4), (8, 8, 2), (9, 8, 0), (3, 3, 2)])
def test_chunks_give_every_frame_once(chunk: int, window: int, overlap: int) -> None:
    for n_frames in range(1, 201):
        chunks = plan_chunks(n_frames, chunk, window, overlap)
        new = [frame for part in chunks for frame in range(part.start + part.known, part.stop)]
        assert new == list(range(n_frames))
        assert all(overlap <= part.known < window for part in chunks[1:])
        assert all(part.known == overlap and len(part) == chunk for part in chunks[1:-1])
        assert all(len(part) >= min(window, n_frames) for part in chunks)


def test_chunks_of_a_longer_video_begin_like_those_of_a_shorter() -> None:
    assert plan_chunks(62, 32, 8, 2) == [Chunk(0, 32, 0), Chunk(30, 62, 2)]
    assert plan_chunks(100, 32, 8, 2)[:2] == plan_chunks(62, 32, 8, 2)
    assert plan_chunks(33, 32, 8, 2) == [Chunk(0, 32, 0), Chunk(25, 33, 7)]  # one new frame, a whole window


@pytest.mark.parametrize(("n_frames", "window", "overlap"), [(0, 8, 2), (5, 8, 8), (5, 8, -1)])
def test_impossible_sizes_are_errors(n_frames: int, window: int, overlap: int) -> None:
    with pytest.raises(ValueError):
        plan_windows(n_frames, window, overlap)
    with pytest.raises(ValueError):
        plan_chunks(n_frames, 2 * window, window, overlap)


def test_average_is_the_mean_over_the_windows_of_a_frame() -> None:
    windows = plan_windows(7, 4, 2)
    assert windows == [Window(0, 4), Window(2, 6), Window(3, 7)]
    predictions = [torch.full((1, 1, 4, 1, 1), float(k)) for k in (1, 2, 6)]
    assert average_windows(windows, predictions, 7).flatten().tolist() == [1, 1, 1.5, 3, 4, 4, 6]


def test_noise_of_a_frame_depends_on_seed_and_frame_alone() -> None:
    whole = frame_noise(7, 0, 50, (4, 3, 3))
    assert torch.equal(frame_noise(7, 20, 30, (4, 3, 3)), whole[20:30])
    assert not torch.equal(frame_noise(8, 0, 50, (4, 3, 3)), whole)
    assert len({tuple(frame.flatten().tolist()) for frame in whole}) == 50
    assert frame_noise(7, 5, 5, (4, 3, 3)).shape == (0, 4, 3, 3)


def test_noise_is_standard_normal_and_independent_between_frames() -> None:
    noise = frame_noise(0, 0, 400, (4, 8, 8)).flatten(1)
    assert noise.dtype == torch.float32
    assert abs(float(noise.mean())) < 0.01 and abs(float(noise.std()) - 1) < 0.01
    neighbours = (noise[1:] * noise[:-1]).mean()
    assert abs(float(neighbours)) < 0.01


def test_frames_share_as_much_of_their_noise_as_is_asked() -> None:
    for shared in (0.0, 0.3, 1.0):
        noise = frame_noise(5, 0, 40, (8, 32, 32), shared).flatten(1)
        assert torch.equal(frame_noise(5, 20, 30, (8, 32, 32), shared).flatten(1), noise[20:30])
        assert abs(float(noise.std()) - 1) < 0.03
        assert abs(float((noise[1:] * noise[:-1]).mean()) - shared) < 0.04
    assert float(frame_noise(5, 0, 9, (4, 8, 8), 1.0).std(dim=0).max()) == 0
    assert not torch.equal(frame_noise(5, 0, 1, (2,), 1.0), frame_noise(6, 0, 1, (2,), 1.0))


def test_any_integer_is_a_seed_and_a_generator_gives_only_its_own() -> None:
    for seed in (-1, 2**64 - 1, 2**70):
        assert torch.isfinite(frame_noise(seed, 0, 1, (2,))).all()
    assert not torch.equal(frame_noise(1, 0, 1, (8,)), frame_noise(1 + 2**32, 0, 1, (8,)))
    generator = torch.Generator().manual_seed(11)
    torch.randn(5, generator=generator)
    state = generator.get_state()
    assert seed_of(generator, 3) == 11 and seed_of(None, 3) == 3
    assert torch.equal(generator.get_state(), state)
    assert torch.equal(style_noise(4, 16), style_noise(4, 16))
    assert not torch.equal(style_noise(4, 16), frame_noise(4, 0, 1, (16,))[0])
