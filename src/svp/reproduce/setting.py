"""What a table or figure was measured on and with; part of its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import torch

from svp.cores import CORES
from svp.datasets.manifest import UNKNOWN, ClipRow
from svp.datasets.measured import SeenDataset
from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import SPLITS, Selection, unlabelled
from svp.doctor.system import processor_name
from svp.evaluation.report import Part
from svp.reproduce.models import StyleModel
from svp.style.map import in_order
from svp.versions import installed_versions

VERSIONS_OF: Final = ("svp-portrait", "torch", "numpy", "scipy", "scikit-learn", "matplotlib")
SEEN: Final = "identities of the split train are among those measured: figures say nothing of unseen people"
MAKERS: Final = {"puppet": "puppets (`svp puppet`)"}
PUBLISHED: Final = {"mead": "MEAD", "hdtf": "HDTF"}  # by layouts of `svp prepare`


class DatasetFacts(Part):
    """The clips that were measured.

    Attributes:
        name: of the dataset's folder.
        made_of: puppets or recorded clips.
        expressions: `measured` in the pictures, as of every recorded clip, or the `true` ones of puppets.
        splits: whose clips were taken.
        unseen: no identity of them is in the split `train`.
        clips: number of clips by emotion, those with unknown emotion too.
        levels: number of clips by intensity, 0 for neutral or not known; emotion known.
        options: how the dataset was made.
        published: the published data set that it was made of, one of the paper's; None of any other.
    """

    name: str
    made_of: str
    expressions: Literal["measured", "true"]
    splits: list[str]
    unseen: bool
    identities: int
    clips: dict[str, int]
    levels: dict[str, int]
    expression_encoder: str
    audio_encoder: str
    options: dict[str, Any]
    published: str | None


class ModelFacts(Part):
    """A model whose style encoder was measured."""

    name: str
    kind: str
    style_encoder: str


class Setting(Part):
    """What was measured with what.

    Attributes:
        command: the command line, with all options.
        machine: that measured.
        notes: what has to be known of the figures.
    """

    command: str
    machine: str
    seed: int
    versions: dict[str, str]
    dataset: DatasetFacts
    models: list[ModelFacts]
    notes: list[str]


def describe(
    dataset: PreparedDataset,
    rows: Sequence[ClipRow],
    selection: Selection,
    models: Sequence[StyleModel],
    command: str,
    seed: int,
    notes: Sequence[str] = (),
) -> Setting:
    """The setting of a measurement on `rows`, with what else has to be known of it."""
    clips = Counter(row.emotion for row in rows)
    levels = Counter(str(row.intensity) for row in rows if row.emotion != UNKNOWN)
    maker = dataset.options.get("maker", "")
    facts = DatasetFacts(
        name=dataset.root.resolve().name,
        made_of=MAKERS.get(maker, "recorded clips (`svp prepare`)" if "layout" in dataset.options else "unknown"),
        expressions="true" if maker == "puppet" and not isinstance(dataset, SeenDataset) else "measured",
        splits=list(SPLITS[selection]),
        unseen="train" not in SPLITS[selection],
        identities=len({row.identity for row in rows}),
        clips={emotion: clips[emotion] for emotion in in_order(set(clips))},
        levels=dict(sorted(levels.items())),
        expression_encoder=dataset.expression_encoder,
        audio_encoder=dataset.audio_encoder,
        options=dataset.options,
        published=PUBLISHED.get(str(dataset.options.get("layout"))),
    )
    return Setting(
        command=command,
        machine=_machine(),
        seed=seed,
        versions=installed_versions(VERSIONS_OF),
        dataset=facts,
        models=[ModelFacts(name=m.name, kind=m.kind, style_encoder=m.fingerprint) for m in models],
        notes=[*([] if facts.unseen else [SEEN]), *notes],
    )


def unlabelled_note(rows: Sequence[ClipRow]) -> list[str]:
    """What has to be known of style codes where the emotion of some clips is unknown."""
    unknown = unlabelled(rows)
    if not unknown:
        return []
    return [
        f"of {unknown} of {len(rows)} clips the emotion is unknown: they take part only where identities are told apart"
    ]


def closing_markdown(problems: Sequence[str], setting: Setting, title: str) -> list[str]:
    """The last blocks of a page: what is missing, if anything, and under the title how the rest came to be."""
    missing = ["## Missing", "\n".join(f"- {problem}" for problem in problems)] if problems else []
    return [*missing, f"## {title}", "\n".join(setting_markdown(setting))]


def setting_markdown(setting: Setting) -> list[str]:
    """The setting as lines of a Markdown list."""
    facts = setting.dataset
    seen = "unseen in training" if facts.unseen else "**some seen in training**"
    lines = [
        f"dataset {facts.name}: {facts.made_of}, splits {', '.join(facts.splits)}, {facts.identities} identities "
        f"({seen}), {sum(facts.clips.values())} clips ({_counted(facts.clips)})",
        f"intensities (0: neutral or not known): {_counted({f'level {k}': n for k, n in facts.levels.items()})}",
        f"features: {facts.expression_encoder}, {facts.expressions} expressions; {facts.audio_encoder}",
        *(f"model {m.name}: {m.kind}, style encoder {m.style_encoder}" for m in setting.models),
        *setting.notes,
        f"seed {setting.seed}; versions: {', '.join(f'{name} {number}' for name, number in setting.versions.items())}",
        f"machine: {setting.machine}",
        f"command: `{setting.command}`",
    ]
    return [f"- {line}" for line in lines]


def paper_name(dataset: str, measured: DatasetFacts) -> str:
    """How the paper's figures of a data set are called beside ours: of other data, unless ours are of the same."""
    return f"paper ({dataset})" if measured.published == dataset else f"paper, other data ({dataset})"


def paper_caveat(measured: DatasetFacts) -> str:
    """What has to be known of the paper's figures beside ours; ends a sentence that begins with them."""
    if measured.published is None:
        return "**measured on other data**"
    return f"**measured on other data**, those of {measured.published} on other clips, people and crops of it"


def _machine() -> str:
    cards = Counter(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
    return ", ".join([f"{processor_name()}, {CORES} cores", *(f"{n} x {name}" for name, n in cards.items())])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())
