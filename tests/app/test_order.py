"""What is asked of the page: names instead of folders, styles of the gallery alone, lines that say it all."""

import os

import numpy as np
import pytest

from svp.app.order import Mix, continued, known_style, number, place_order, timeline_texts
from svp.app.reports import Reports
from svp.app.style_map import StyleMap
from svp.cli import app
from svp.errors import InputError
from svp.evaluation.report import Report
from svp.style.gallery import LEVELS, gallery_names, gallery_path
from svp.style.prior import StylePrior


@pytest.fixture(scope="module")
def gallery() -> dict[str, StylePrior]:
    return {
        f"{name}:{level}": StylePrior.load(gallery_path(name, level)) for name in gallery_names() for level in LEVELS
    }


def test_lines_name_files_and_what_is_not_usual():
    order = place_order(
        "/srv/up/1/me too.png", "/srv/up/2/talk.wav", styles=["sad@0", "happy@2.5"], style_strength=1.3,
        head_motion="/srv/up/3/talk.wav", seed=4,
    )  # fmt: skip
    assert order.command().replace(" \\\n ", "") == (
        "svp generate --portrait 'me too.png' --audio talk.wav --style sad@0 --style happy@2.5 --style-strength 1.3 "
        "--head-motion other_talk.wav --seed 4 -o 'me too_talk.mp4'"
    )
    assert order.python().splitlines()[-2:] == [
        "style = style_over_time(read_cues(['sad@0', 'happy@2.5']), pipe.style, 1.3)",
        "pipe.stream('me too.png', 'talk.wav', style, 'other_talk.wav', seed=4).save('me too_talk.mp4')",
    ]
    moved = place_order(
        "/a/me.png", "/a/talk.wav", head_amplitude=0.5, blink_rate=None, gaze="-10,5", frame="full", aspect=None,
        label=True, face_box="12,8,200,240",
    )  # fmt: skip
    assert moved.command().replace(" \\\n ", "") == (
        "svp generate --portrait me.png --audio talk.wav --head-amplitude 0.5 --gaze -10,5 --frame full "
        "--face-box 12,8,200,240 --label "
        "-o me_talk.mp4"
    )
    assert moved.python().splitlines()[-1] == (
        "pipe.stream('me.png', 'talk.wav', None, 'natural', head_amplitude=0.5, gaze=(-10.0, 5.0), frame='full', "
        "face_box=(12.0, 8.0, 200.0, 240.0))"
        ".save('me_talk.mp4', MARKED.labelled(True, None))"
    )
    plain = place_order("/a/me.png", "/a/talk.wav", style_strength=1.3)  # nothing to strengthen
    assert plain.command().replace(" \\\n ", "") == "svp generate --portrait me.png --audio talk.wav -o me_talk.mp4"


def test_what_is_made_is_called_as_no_input():
    mix = Mix("sad:3", "happy:3", 0.3)
    order = place_order(
        "/a/ada.png", "/a/sad3-happy3.safetensors", mix=mix, head_motion="/b/Ada_sad3-happy3.MP4"
    )  # fmt: skip
    assert order.command().replace(" \\\n ", "").splitlines() == [
        "svp style mix sad:3 happy:3 --weight 0.3 -o other_sad3-happy3.safetensors",
        "svp generate --portrait ada.png --audio sad3-happy3.safetensors --style other_sad3-happy3.safetensors "
        "--head-motion Ada_sad3-happy3.MP4 -o other_ada_sad3-happy3.mp4",
    ]
    *_, mixed, _, style, made = order.python().splitlines()
    assert mixed.endswith(".save('other_sad3-happy3.safetensors')")
    assert "read_cues(['other_sad3-happy3.safetensors'])" in style
    assert made.endswith(".save('other_ada_sad3-happy3.mp4')")
    long = place_order(f"/a/{'ä' * 99}.png", f"/a/{'ö' * 99}.wav")
    assert len(long.output.encode()) <= 255 and "ä_ö" in long.output
    clip = place_order("/a/ada.png", "/a/talk.wav", clip="/c/ada_talk.mp4")
    assert clip.output == "other_ada_talk.mp4" and "--style ada_talk.mp4 " in clip.command()


def test_messages_show_no_folder_of_the_server():
    order = place_order("/srv/svp app/1/me.png", "/srv/svp app/2/talk.wav")
    told = order.told("/srv/svp app/1/me.png: no face found (either/or, 3 / 4); see /etc/svp/models/x.json")
    assert told == "me.png: no face found (either/or, 3 / 4); see x.json"


def test_what_is_missing_or_wrong_is_said():
    for wrong, problem in (
        (lambda: place_order(None, "a.wav"), "portrait: none yet"),
        (lambda: place_order("a.png", None), "recording: none yet"),
        (lambda: place_order("a.png", "a.wav", seed=-1), "seed: .*greater than or equal to 0"),
        (lambda: place_order("a.png", "a.wav", fast="instantly"), "fast: .*exact"),
        (lambda: place_order("a.png", "a.wav", face_box="left"), "face box left: give X,Y,W,H"),
        (lambda: Mix("sad:3", "happy:3", 1.5), "mix: 1.5"),
        (lambda: Mix("sad:3", "happy:3", None), "mix: None"),
        (lambda: Mix("sad:3", "happy:3", "x"), "mix: x"),
        (lambda: number(None), "None: no number"),
        (lambda: number([1]), "1.*: no number"),
    ):
        with pytest.raises(InputError, match=problem):
            wrong()


def test_only_the_gallery_has_names(gallery, tmp_path):
    (tmp_path / "secret.safetensors").write_bytes(b"")
    assert [known_style(name, gallery) for name in ("happy", "happy:1")] == ["happy:3", "happy:1"]
    for name in (str(tmp_path / "secret.safetensors"), "../secret", "", None, "happy:4"):
        with pytest.raises(InputError, match="not in the gallery"):
            known_style(name, gallery)
    assert timeline_texts([["sad", 0], ["", None], ["happy:2", "2.5"]], gallery) == ["sad:3@0", "happy:2@2.5"]
    for rows, problem in (
        ([["sad", "soon"]], "row 1: soon"),
        ([["sad", [1]]], "row 1: .1. is no time"),
        ([["sad"]], "row 1: .*is no style and time"),
        ([["happy", 0], ["sad", 0, 1]], "row 2: .*is no style and time"),
        (["sad", 0], "row 1: sad is no style and time"),
        ([], "empty"),
        ([["/etc/passwd", 0]], "not in the gallery"),
    ):
        with pytest.raises(InputError, match=problem):
            timeline_texts(rows, gallery)
    assert continued([["sad", None], ["", "soon"], ["happy", "2.5"]], "fear:2")[1:] == [
        ["happy", "2.5"],
        ["fear:2", 4.5],
    ]
    assert continued([["", None]], "fear:2") == [["fear:2", 0]]
    with pytest.raises(InputError, match="row 2: soon is no time; give a number"):
        continued([["", 0], ["sad", "soon"]], "fear:2")
    assert [number(value) for value in (1, 0.1, 1 / 3)] == ["1", "0.1", repr(1 / 3)]


def test_every_style_is_found_where_it_is_drawn(gallery):
    style_map = StyleMap(gallery)
    height, width, _ = style_map.picture.shape
    for name, (x, y) in style_map.places.items():
        assert 0 < x < width and 0 < y < height
        assert not np.array_equal(style_map.picture[round(y), round(x)], (255, 255, 255)), name
        found = style_map.places[style_map.nearest(x + 1, y - 1)]
        assert np.allclose(found, (x, y), atol=0.5)  # levels of neutral share a place
    assert not np.array_equal(style_map.marked("sad:3"), style_map.marked("happy:3"))
    assert np.array_equal(style_map.marked("nobody"), style_map.picture)


def test_reports_that_are_gone_are_passed_over(tmp_path):
    report = Report(
        systems={"mini": "outputs/mini"}, reference="test/clips", seed=0, resamples=100, confidence=0.95, fps=25.0,
        crop="none", resize="none", versions={"svp": "1"}, sizes={}, warnings=[], metrics=[], absent={}, problems=[],
        clips=[],
    )  # fmt: skip
    for age, name in ((1, "new.json"), (2, "gone.json"), (3, "old.json")):
        report.save(tmp_path / name)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere.json")
    reports = Reports(tmp_path)
    assert reports.names() == ["new.json", "gone.json", "old.json"]
    (tmp_path / "gone.json").unlink()
    assert reports.names() == ["new.json", "old.json"]
    with pytest.raises(InputError, match=r"link\.json: no report"):
        reports.page("link.json")


def test_the_command_looks_at_its_options_first(tmp_path):
    for options, problem in (
        (("--password", "ann"), "write USER:WORD"),
        (("--reports", tmp_path / "none"), "no such folder"),
        (("--certificate", tmp_path / "none.pem"), "--key|none.pem"),
        (("--certificate", tmp_path / "none.pem", "--key", tmp_path / "none.key"), "none.pem"),
    ):
        with pytest.raises(InputError, match=problem):
            app(args=["app", *map(str, options)], standalone_mode=False)
