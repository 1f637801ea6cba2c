"""Table 3 as Markdown, in the paper's layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from svp.reproduce.interval import Figure
from svp.reproduce.setting import paper_caveat, paper_name, setting_markdown
from svp.reproduce.table3 import PAPER_DATA, Row, Series, Table3

PAPER_NAMES = {"audio": "audio", "expression": "style", "audio and expression": "style + audio"}


def table3_markdown(table: Table3) -> str:
    """All figures with their intervals; the paper's columns first, its rows below ours."""
    kinds, whose = len(table.intervals) > 1, paper_name(PAPER_DATA, table.setting.dataset)

    def named(row: Row) -> str:
        return f"{row.input}, {row.kind}" if kinds and row.kind else row.input

    blocks = [
        "# Table 3: clustering strength by emotion",
        "d_cls = d_inter / d_intra (Eq. 8) among the clips of one identity, mean over the identities; 1: the emotion "
        f"says nothing, higher is better. The paper's rows were {paper_caveat(table.setting.dataset)}: they show the "
        "order to expect, not figures to reach. Its style is what is called expression here.",
        "\n".join(_series(table.rows, lambda row: row.clustering, named, whose, table.paper)),
        "## All identities together",
        "The same among the clips of all identities at once; how people differ weakens it. One model has no interval "
        "here: an identity drawn twice would lie at distance 0 from itself.",
        "\n".join(_series(table.rows, lambda row: row.clustering_across, named)),
        "## Emotion of the nearest neighbour",
        "Share of clips whose nearest neighbour among clips of other identities (and other recordings) shows the same "
        "emotion; chance: a random one of these.",
        "\n".join(
            [
                "| input | right | chance | clips |",
                "|---|---|---|---|",
                *(
                    f"| {named(row)} | {_text(row.retrieval)} | {_number(row.retrieval_chance)} | {row.clips} |"
                    for row in table.rows
                ),
            ]
        ),
        "## Intensity",
        "Spearman's correlation of the intensity (levels 1 to 3) with the distance of mu from neutral: the mean of the "
        "identity's neutral clips; where it has none, the encoder's neutral code (only for both inputs). Within "
        "identities that show the emotion in two or more levels, mean over these:",
        "\n".join(_series(table.rows, lambda row: row.intensity, named)),
        "Over the clips of all identities together:",
        "\n".join(_series(table.rows, lambda row: row.intensity_pooled, named)),
        "## What a linear probe reads off the code",
        "Multinomial logistic regression on standardised codes of both inputs, cross-validated. Identity: no recording "
        "is in training and test; low means that little of the person leaks. Where a person's clips all differ in "
        "emotion, the emotion outweighs the person; so identity is read once more after each emotion's mean is taken "
        "out. Emotion: of people the probe was not trained on; high is better. Chance: always the most frequent label.",
        "\n".join(_probes(table)),
        "## How it was measured",
        "\n".join(
            [
                *(f"- intervals, {kind} models: {text}" for kind, text in table.intervals.items()),
                "- the row without a network has the mean of beta over the frames for a code, each unit standardised "
                "over these clips; its intervals are bootstraps over the identities",
                *setting_markdown(table.setting),
            ]
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def _series(
    rows: Sequence[Row],
    of: Callable[[Row], Series],
    named: Callable[[Row], str],
    whose: str = "",
    paper: Mapping[str, Mapping[str, float]] | None = None,
) -> Iterator[str]:
    """A row per input; with the paper's figures its emotions come first, and its rows last."""
    published = paper or {}
    emotions = list(dict.fromkeys([name for figures in published.values() for name in figures]))
    emotions += [name for name in of(rows[0]).emotions if name not in emotions]
    if not any(any(of(row).identities.values()) for row in rows):
        yield "No identity has the clips for it."
        if not published:
            return
        yield ""
    yield from _header(["input", *emotions, "mean"])
    for row in rows:
        series = of(row)
        cells = [_text(series.emotions.get(emotion, Figure())) for emotion in emotions]
        yield f"| {named(row)} | {' | '.join(cells)} | {_text(series.mean)} |"
    count = [str(of(rows[-1]).identities.get(emotion, 0)) for emotion in emotions]
    yield f"| identities | {' | '.join(count)} | |"
    for name, figures in published.items():
        cells = [_number(figures.get(emotion)) for emotion in emotions]
        yield f"| *{whose}: {PAPER_NAMES[name]}* | {' | '.join(cells)} | |"


def _probes(table: Table3) -> Iterator[str]:
    yield from _header(["reads", "models", "from sampled s", "from mean mu", "chance", "labels", "clips"])
    cells = {(row.reads, row.kind): row for row in table.probes}
    for (reads, kind), row in cells.items():
        accuracy = {r.code: _text(r.accuracy) for r in table.probes if (r.reads, r.kind) == (reads, kind)}
        yield (
            f"| {reads} | {kind} | {accuracy['sampled s']} | {accuracy['mean mu']} | {_number(row.chance)} "
            f"| {row.labels} | {row.clips} |"
        )


def _header(names: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def _text(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return _number(figure.mean)
    return f"{_number(figure.mean)} ({_number(figure.low)} … {_number(figure.high)})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
