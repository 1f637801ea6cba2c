"""Styles over time: the blend, and what a user may write."""

from pathlib import Path

import pytest
import torch

from svp.errors import InputError
from svp.style.cues import Cue, read_cues
from svp.style.gallery import gallery_path
from svp.style.prior import StylePrior
from svp.style.timeline import StyleTimeline, style_over_time


def style(value: float, encoder: str = "e") -> StylePrior:
    return StylePrior(torch.full((2,), value), torch.full((2,), value**2), torch.zeros(2), encoder, name=str(value))


def test_a_style_takes_over_within_half_a_second() -> None:
    timeline = StyleTimeline((0.0, 1.0), (style(1.0), style(3.0)))
    weights = timeline.weights(0, 50)
    torch.testing.assert_close(weights.sum(1), torch.ones(50))
    assert torch.equal(weights[:26, 0], torch.ones(26)) and torch.equal(weights[38:, 1], torch.ones(12))
    torch.testing.assert_close(weights[31, 1], torch.tensor(6 / 12.5))
    noise = torch.tensor([1.0, -2.0])
    codes = timeline.at(noise, 0, 50)
    for frame in range(50):  # mean and variance are blended, not the samples
        share = min(max((frame - 25) / 12.5, 0), 1)
        mean, variance = (1 - share) * 1 + share * 3, (1 - share) * 1 + share * 9
        torch.testing.assert_close(codes[frame], mean + variance**0.5 * noise)
    assert torch.equal(timeline.at(noise, 20, 40), codes[20:40])


def test_changes_that_follow_quickly_stay_blends() -> None:
    weights = StyleTimeline((0.0, 0.2, 0.4), (style(1.0), style(2.0), style(3.0))).weights(0, 40)
    torch.testing.assert_close(weights.sum(1), torch.ones(40))
    assert (weights >= 0).all() and weights[-1, 2] == 1
    assert (weights[1:] - weights[:-1]).abs().max() < 0.17


def test_one_style_is_no_timeline_and_scaling_reaches_all() -> None:
    def load(path: Path) -> StylePrior:
        return style(float(path.name))

    cues = [Cue(0.0, Path("1"), 2.0), Cue(1.0, Path("3"))]
    assert style_over_time([], load) is None
    assert style_over_time(cues[:1], load, 1.5).mean[0] == 3
    scaled = style_over_time(cues, load, 2.0)
    assert scaled.seconds == (0.0, 1.0) and [float(part.mean[0]) for part in scaled.styles] == [4, 6]


def test_wrong_timelines_are_refused() -> None:
    for seconds, styles, problem in (
        ((0.0, 0.0), (style(1.0), style(2.0)), "increase"),
        ((0.0,), (style(1.0), style(2.0)), "one time for each"),
        ((0.0, 1.0), (style(1.0), style(2.0, "other")), "another encoder"),
    ):
        with pytest.raises(InputError, match=problem):
            StyleTimeline(seconds, styles)


def test_a_style_that_would_never_be_seen_is_refused() -> None:
    timeline = StyleTimeline((0.0, 2.0), (style(1.0), style(2.0)))
    timeline.need_seconds(2.04)
    with pytest.raises(InputError, match=r"at 2 s: the sound ends at 1\.96 s"):
        timeline.need_seconds(1.96)


def test_cues_as_users_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = read_cues(["happy:2@2.5", "sad@0"])
    assert [(cue.seconds, cue.path) for cue in found] == [(0, gallery_path("sad", 3)), (2.5, gallery_path("happy", 2))]
    Path("me@2.safetensors").touch()  # an existing file wins
    assert [(cue.seconds, cue.path.name) for cue in read_cues(["me@2.safetensors"])] == [(0, "me@2.safetensors")]
    assert [cue.seconds for cue in read_cues(["me@2.safetensors@0", "sad@1"])] == [0, 1]
    Path("t.json").write_text('[{"style": "happy", "at": 2.5, "strength": 1.5}, {"style": "sad"}]')
    assert [(cue.seconds, cue.strength) for cue in read_cues(["t.json"])] == [(0, 1), (2.5, 1.5)]
    assert read_cues([]) == []


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["sad", "happy"], "more than one at 0 s"),
        (["sad@1", "happy@2"], "the first style the time 0"),
        (["sad@-1"], "is no time"),
        (["sad@inf"], "is no time"),
        (["sad@soon"], "sad@soon: no such file, and soon is no time"),
        (["sad@"], "nothing is no time"),
        (["missing.json"], "missing.json: cannot be read"),
    ],
)
def test_cues_that_cannot_be_meant(texts: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_cues(texts)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '[{"style": "sad", "when": 1}]',
        '[{"style": "sad", "at": -1}]',
        '[{"style": "sad"}, {"style": "nosuch", "at": 1}]',
        "nothing",
    ],
)
def test_timelines_that_are_none_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"t\.json") as caught:
        read_cues([str(path)])
    assert ("entry 2: nosuch" in str(caught.value)) == ("nosuch" in text)
