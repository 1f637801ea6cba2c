"""The corpus of bad inputs, in one process with a tiny model: a line that helps and exit code 2, or it works.

`scripts/check_bad_inputs.py` tries all of it as processes with the shipped model, and looks at time and memory.
"""

import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
sys.path.append(str(Path(__file__).parent / "diffusion"))
from tiny_pipeline import tiny_pipeline

from check_bad_inputs import run, unmade
from make_bad_inputs import PARTS, Case, make
from svp.cli import main

pytestmark = pytest.mark.long

# of the shipped model alone, its gallery and its weights that are read whole; or slow
LEFT_OUT = {"style short", "timeline late", "styles of two encoders", "model strange", "limit.png"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Case]]:
    folder = tmp_path_factory.mktemp("bad") / "inputs"
    cases = make(folder)
    tiny_pipeline().save_pretrained(folder / "tiny")
    return folder, cases


def svp(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Exit code, what stands on stderr and on stdout."""
    monkeypatch.setattr(sys, "argv", ["svp", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return ended.value.code or 0, told.err.strip(), told.out


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as the program has it; pytest forgets
@pytest.mark.parametrize("part", [part.__name__ for part in PARTS])
def test_bad_inputs_are_told_in_one_line_or_work(part, corpus, monkeypatch, capsys):
    folder, cases = corpus
    monkeypatch.chdir(folder)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which `main` replaces
    wrong, tried = [], 0
    for case in cases:
        if case.part != part or case.without or case.name in LEFT_OUT:
            continue
        makes_video = case.command[0] == "generate" and not {"--model", "--preset", "--jobs"} & set(case.command)
        needs_model = makes_video or case.command[:2] == ("style", "extract")
        command = (*case.command, "--model", "tiny") if needs_model else case.command
        tried += 1
        try:
            code, told, said = svp(command, monkeypatch, capsys)
        except Exception as error:
            wrong.append(f"{case.name}: {type(error).__name__}: {error}")
            continue
        lacking = unmade(list(command), folder) if case.expected == "works" else ""
        *before, line = told.split("\n")  # the terms of what is imported stand before
        one_line = line.startswith("svp: ") and case.word in line and (not before or case.command[0] == "import")
        if lacking or code != case.code or (code == 2 and not one_line):
            wrong.append(f"{case.name}: {code} {told} {said[-200:]} {lacking}")
    assert not wrong, "\n".join(wrong)
    assert tried >= 5


def test_full_disks_and_missing_permissions_are_told_too(corpus):
    """As processes of their own, which alone can be confined; a disk that fills up while a video is made takes long."""
    folder, cases = corpus
    confined = [asdict(case) for case in cases if case.without and case.without != "later"]
    found = {case["name"]: run(case, folder)[2] for case in confined}
    assert len(found) >= 4 and not any(found.values()), found
