"""The command line as a user meets it: answers at once, one line and exit code 2 for what they can cause."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from command import svp
from svp import cli
from svp.style.gallery import gallery_path

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = ROOT / "samples" / "portraits" / "ada.png"
SPEECH = ROOT / "samples" / "speech" / "face.wav"


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`svp` as a process of its own, with all that its libraries print; seconds go by until they are loaded."""
    command = [sys.executable, "-m", "svp.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    "command",
    [
        *(
            (),
            ("generate",),
            ("prepare",),
            ("motions",),
            ("puppet",),
            ("sheet",),
            ("train",),
            ("evaluate",),
            ("import",),
            ("app",),
            ("verify",),
            ("doctor",),
        ),
        *(("style", name) for name in ("extract", "mix", "scale", "sample")),
        *(("reproduce", name) for name in ("table1", "table3", "figure6")),
    ],
)
def test_help_of_every_command_has_an_example(command):
    result = svp(*command, "--help")
    assert result.returncode == 0
    assert not command or "Example: svp" in result.stdout.replace("\n", " ")


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys, svp, svp.cli; print([m for m in ('torch', 'diffusers', 'mediapipe', 'cv2') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package():
    import svp as package

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert package.__version__ == project["version"]
    assert svp("--version").stdout == f"svp {package.__version__}\n"


@pytest.mark.parametrize("option", ["--audio", "--style", "--head-motion"])
def test_an_output_never_replaces_an_input(tmp_path, option):
    talk = tmp_path / "talk.mp4"
    talk.write_bytes(b"the only copy")
    given = {"--portrait": PORTRAIT, "--audio": SPEECH, option: talk, "-o": talk}
    result = svp("generate", *(word for pair in given.items() for word in pair))
    assert result.returncode == 2 and "talk.mp4: is an input" in result.stderr
    assert talk.read_bytes() == b"the only copy"


BAD_INPUTS = {
    "no portrait": (("--portrait", "missing.png", "--audio", SPEECH), "missing.png: no such file"),
    "folder": (("--portrait", ROOT, "--audio", SPEECH), "is a folder"),
    "no audio": (("--portrait", PORTRAIT, "--audio", "missing.wav"), "missing.wav: no such file"),
    "unknown style": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--style", "nosuchstyle"),
        "nosuchstyle: no such file",
    ),
    "style without a beginning": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--style", "sad@1"),
        "give the first style the time 0",
    ),
    "two styles at once": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--style", "sad", "--style", "happy"),
        "more than one at 0 s",
    ),
    "strength without style": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--style-strength", "2"),
        "--style-strength",
    ),
    "strength is no number": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--style", "happy", "--style-strength", "nan"),
        "--style-strength nan",
    ),
    "guidance without style": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--guidance-style", "2"),
        "--guidance-style: needs --style",
    ),
    "infinite guidance": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--guidance-style", "inf"),
        "--guidance-style inf",
    ),
    "label of no text": (("--portrait", PORTRAIT, "--audio", SPEECH, "--label", "--label-text", ""), "no line of text"),
    "label of letters that the font lacks": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--label-text", "中文"),
        "the font has no 中",
    ),
    "guidance beyond all use": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--guidance-audio", "1e300"),
        "--guidance-audio 1e+300: choose -100",
    ),
    "label of blanks": (("--portrait", PORTRAIT, "--audio", SPEECH, "--label-text", "  "), "no line of text"),
    "two models": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--preset", "mini", "--model", "folder"),
        "give one of the two",
    ),
    "unknown option": (("--portrait", PORTRAIT, "--nosuch"), "--nosuch"),
    "missing option": (("--portrait", PORTRAIT), "'--audio'; see `svp generate --help`"),
    "value of an option": (("--portrait", PORTRAIT, "--audio", SPEECH, "--steps", "0"), "--steps"),
    "choice of an option": (("--portrait", PORTRAIT, "--audio", SPEECH, "--preset", "huge"), "'huge' is not"),
    "no model": (("--portrait", PORTRAIT, "--audio", SPEECH, "--model", "nosuchfolder"), "nosuchfolder: no such model"),
    "no motion": (("--portrait", PORTRAIT, "--audio", SPEECH, "--head-motion", "nosuch.mp4"), "nosuch.mp4"),
    "no library": (
        ("--portrait", PORTRAIT, "--audio", SPEECH, "--head-motion", gallery_path("happy", 3)),
        "happy_3.safetensors: not a motion library",
    ),
    "retarget without clip": (("--portrait", PORTRAIT, "--audio", SPEECH, "--retarget", "none"), "retarget none"),
    "portrait is text": (("--portrait", ROOT / "README.md", "--audio", SPEECH), "README.md"),
    "audio is text": (("--portrait", PORTRAIT, "--audio", ROOT / "LICENSE"), "LICENSE"),
    "no face": (("--portrait", "NOFACE", "--audio", SPEECH), "no face found"),
}


AS_PROCESSES = ("no portrait", "unknown option", "no face")


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_one_line_and_exit_code_two(case, tmp_path):
    arguments, expected = BAD_INPUTS[case]
    if "NOFACE" in arguments:
        from PIL import Image

        Image.new("RGB", (200, 200), (90, 120, 60)).save(tmp_path / "wall.png")
        arguments = tuple(tmp_path / "wall.png" if a == "NOFACE" else a for a in arguments)
    out = tmp_path / "out.mp4"
    run = process if case in AS_PROCESSES else svp
    result = run("generate", *arguments, "-o", out)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert expected in lines[0] and lines[0].startswith("svp: ")
    assert not out.exists()


CHEAP = {  # wrong inputs that are found although the model, which is looked for later, does not exist either
    "motion": (("--head-motion", "nosuch.mp4"), "nosuch.mp4"),
    "retarget": (("--retarget", "none"), "retarget none"),
    "portrait": (("--portrait", ROOT / "README.md"), "README.md"),
    "audio": (("--audio", ROOT / "LICENSE"), "LICENSE"),
    "knob": (("--gaze", "-40,0"), "gaze -40,0: give degrees right and up, at most 25 and 12"),
    "aspect": (("--aspect", "16x9"), "aspect 16x9: give WIDTH:HEIGHT"),
    "face box": (("--face-box", "1,2,3"), "face box 1,2,3: give X,Y,W,H"),
}


@pytest.mark.parametrize("case", CHEAP)
def test_cheap_inputs_are_checked_before_the_model(case, tmp_path):
    arguments, expected = CHEAP[case]
    good = ("--portrait", PORTRAIT, "--audio", SPEECH, "--model", "nosuchfolder")
    result = svp("generate", *good, *arguments, "-o", tmp_path / "out.mp4")
    assert result.returncode == 2 and expected in result.stderr and "nosuchfolder" not in result.stderr


def test_an_unknown_command_and_none_at_all():
    result = svp("genrate")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1 and "genrate" in result.stderr
    assert svp("style").stderr == "svp: Missing command; see `svp style --help`\n"
    bare = svp()
    assert bare.returncode == 0 and "generate" in bare.stdout and bare.stderr == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, typer.Abort])
def test_an_interrupt_is_exit_code_130(error, monkeypatch):
    def interrupt(*_):
        raise error

    monkeypatch.setattr("svp.cli.style.need_file", interrupt)
    monkeypatch.setattr(sys, "argv", ["svp", "style", "extract", "a.mp4", "-o", "a.safetensors"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130


def test_the_output_must_be_an_mp4(tmp_path):
    result = svp("generate", "--portrait", PORTRAIT, "--audio", SPEECH, "-o", tmp_path / "out.gif")
    assert result.returncode == 2
    assert "must end in .mp4" in result.stderr


def test_puppet_wants_one_kind_of_motion(tmp_path):
    result = svp("puppet", "--portraits", PORTRAIT.parent, "-o", tmp_path / "corpus")
    assert result.returncode == 2
    assert "--speech" in result.stderr


def test_puppet_takes_lengths_and_shares(tmp_path):
    common = ("puppet", "--portraits", PORTRAIT.parent, "--speech", tmp_path, "-o", tmp_path / "corpus")
    for wrong, message in (
        (("--min-frames", 60, "--max-frames", 50), "max_frames 50 is less than min_frames 60"),
        (("--val", 0.7), "val_fraction 0.7: "),
        (("--test", 0.6), "test_fraction 0.6: "),
    ):
        result = svp(*common, *wrong)
        assert result.returncode == 2 and message in result.stderr


def test_motions_names_what_is_no_dataset(tmp_path):
    result = svp("motions", tmp_path, "-o", tmp_path / "own.safetensors")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "no prepared dataset" in result.stderr


def test_train_names_a_missing_dataset(tmp_path):
    result = svp("train", "vae", "--data", tmp_path / "none", "--out", tmp_path / "run")
    assert result.returncode == 2
    assert "svp prepare" in result.stderr


def test_import_shows_the_licence_and_names_what_is_wrong(tmp_path):
    source = tmp_path / "guider.bin"
    source.write_bytes(b"no weights")
    result = svp("import", "animatediff", source, "-o", tmp_path / "model")
    licence, error = result.stderr.splitlines()
    assert result.returncode == 2 and "Apache-2.0" in licence and str(source) in error
    result = svp("import", "sd15", tmp_path / "absent", "-o", tmp_path / "model")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "v1-5-pruned-emaonly.safetensors" in result.stderr
    assert svp("import", "sd16", source, "-o", tmp_path / "model").returncode == 2
