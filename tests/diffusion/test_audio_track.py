"""Audio windows: those of the whole recording, although only a part is held."""

import numpy as np
import pytest
import torch
from tiny_pipeline import tone

from svp.diffusion import audio_track
from svp.diffusion.audio_track import AudioTrack, recording_alpha
from svp.speech.alpha import load_audio_encoder


def test_an_audio_track_is_the_windows_of_the_whole_and_forgets_the_past() -> None:
    encoder, sound = load_audio_encoder("log-mel"), tone(4.0)
    alpha = encoder.encode(sound, 100)
    whole = alpha[(torch.arange(100)[:, None] + torch.arange(-2, 3)).clamp(0, 99)]
    track = AudioTrack(encoder.stream(sound, 100), 100, radius=2)
    for start, stop in ((0, 8), (7, 15), (14, 40), (30, 99), (95, 100)):
        torch.testing.assert_close(track.windows(start, stop), whole[start:stop])
    assert len(track._held) < 10
    with pytest.raises(ValueError):
        track.windows(0, 8)


def test_audio_windows_repeat_the_edges() -> None:
    alpha = torch.arange(6.0)[:, None].expand(6, 3)
    windows = AudioTrack(iter(alpha.split(4)), 6, radius=2).windows(0, 6)
    assert windows.shape == (6, 5, 3)
    expected = [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5], [2, 3, 4, 5, 5], [3, 4, 5, 5, 5]]
    assert windows[..., 0].tolist() == expected


def test_what_was_heard_of_a_long_recording_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    sound, encoder = tone(45.0), load_audio_encoder("log-mel")
    forgotten: list[np.ndarray] = []
    monkeypatch.setattr(audio_track, "forget", forgotten.append)
    blocks = list(recording_alpha(sound, 1125, 0, lambda: encoder))
    assert len(blocks) == len(forgotten) == 3 and all(samples is sound for samples in forgotten)
