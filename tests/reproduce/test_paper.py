"""The paper's own figures are those that stand in it, and are called so unless ours are of the same data."""

from itertools import takewhile
from pathlib import Path

import pytest

from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import select_clips
from svp.reproduce.comparison_page import CONFIDENCE, DIGITS, OFFSET, TITLES
from svp.reproduce.paper import TABLE1, TABLE2, PaperRow
from svp.reproduce.setting import describe, paper_caveat, paper_name
from svp.reproduce.table3 import PAPER
from svp.reproduce.table3_page import PAPER_NAMES


def printed(paper: str, number: int) -> list[list[str]]:
    """The rows of a table of the paper, its header among them."""
    lines = paper[paper.index(f"\nTable {number}.") :].splitlines()[3:]
    rows = [line.replace("<b>", "").replace("</b>", "").replace("/ ", "/").split("\t") for line in lines]
    return list(takewhile(lambda row: len(row) > 1, rows))


def cells(row: PaperRow) -> list[str]:
    """As the paper prints them: offset and confidence of SyncNet in one."""
    texts = {name: f"{value:.{DIGITS.get(name, 2)}f}" for name, value in row.figures.items()}
    texts[OFFSET] = f"{texts[OFFSET]}/{texts.pop(CONFIDENCE)}"
    return list(texts.values())


@pytest.fixture(scope="module")
def paper(shared: Path) -> str:
    return (shared / "paper.md").read_text()


@pytest.mark.parametrize(("number", "rows", "sets"), [(1, TABLE1, 2), (2, TABLE2, 1)])
def test_tables_1_and_2_are_copied_right(paper: str, number: int, rows: list[PaperRow], sets: int) -> None:
    *_, titles = head = printed(paper, number)[:sets]
    body = {method: figures for method, *figures in printed(paper, number)[len(head) :]}
    body["SadTalker"] = ["23.70" if figure == "23.7" else figure for figure in body["SadTalker"]]
    for method, figures in body.items():
        assert [cell for row in rows if row.method == method for cell in cells(row)] == figures
    assert list(dict.fromkeys(row.method for row in rows)) == list(body)
    assert sets * [TITLES[name] for name in rows[0].figures if name != CONFIDENCE] == titles[1:]


def test_table_3_is_copied_right(paper: str) -> None:
    [_, *emotions], *rows = printed(paper, 3)
    theirs = {name: dict(zip(emotions, map(float, figures), strict=True)) for name, *figures in rows}
    assert {PAPER_NAMES[name]: dict(figures) for name, figures in PAPER.items()} == theirs


def test_figures_of_the_same_data_set_are_not_called_other_data(style_dataset: Path) -> None:
    dataset = PreparedDataset(style_dataset)
    rows = select_clips(dataset, "unseen")
    puppets = describe(dataset, rows, "unseen", [], "", 0).dataset
    assert puppets.published is None and paper_name("MEAD", puppets) == "paper, other data (MEAD)"
    mead = puppets.model_copy(update={"published": "MEAD"})
    assert paper_name("MEAD", mead) == "paper (MEAD)" and paper_name("HDTF", mead) == "paper, other data (HDTF)"
    assert "on other clips, people and crops of it" in paper_caveat(mead)
