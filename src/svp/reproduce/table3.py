"""Table 3: clustering strength by emotion of what audio, expression and both give; beside it what else tells a good
style prior: retrieval across people, intensity, and how much of the person the code gives away (paper Sec. 4.4).

Shapes: B clips, S samples of a style, D channels of a code.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import torch

from svp.datasets.manifest import NEUTRAL, UNKNOWN, ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import Selection, select_clips
from svp.evaluation.report import Part
from svp.reproduce.interval import Figure, Statistic, average, figure, method, of_clips, ratio
from svp.reproduce.models import Kind, StyleModel, by_kind
from svp.reproduce.setting import Setting, describe, unlabelled_note
from svp.style.clustering import clustering_strength
from svp.style.codes import BOTH, MODALITIES, StyleCodes, encode_clips, mean_expressions
from svp.style.intensity import correlations_by_identity, neutral_distances, rank_correlation
from svp.style.map import in_order
from svp.style.probe import identity_folds, majority, probe, recording_folds, without_emotion
from svp.style.retrieval import retrieve_emotions

SAMPLES: Final = 4  # of each clip's Gaussian, for the probes
REST: Final = "identity, emotion taken out"
BASELINE: Final = "mean of beta, no network"
PAPER_DATA: Final = "MEAD"
PAPER: Final[Mapping[str, Mapping[str, float]]] = {  # by rows of ours
    "audio": {"angry": 2.44, "contempt": 2.12, "disgusted": 2.51, "happy": 2.49},
    "expression": {"angry": 6.25, "contempt": 4.89, "disgusted": 7.45, "happy": 8.07},
    "audio and expression": {"angry": 6.57, "contempt": 5.64, "disgusted": 7.63, "happy": 8.38},
}


class Series(Part):
    """A figure by emotion.

    Attributes:
        emotions: the figures.
        mean: over the emotions.
        identities: how many identities each emotion's figure is of.
    """

    emotions: dict[str, Figure]
    mean: Figure
    identities: dict[str, int]


class Row(Part):
    """What the codes of one modality say; of several models of one kind.

    Attributes:
        input: a modality, or BASELINE.
        clips: with known emotion that were measured; `missing` lack the modality.
        clustering: Eq. 8 among the clips of an identity, mean over the identities with two or more clips of the
            emotion.
        clustering_across: Eq. 8 among the clips of all identities together.
        retrieval: share of clips whose nearest neighbour of another identity and recording shows the same emotion;
            `retrieval_chance` is what a random one of these would score.
        intensity: Spearman's correlation of intensity and distance from the identity's neutral code, within identities
            that show the emotion in two or more levels, mean over these.
        intensity_pooled: the same over the clips of all identities together.
    """

    input: str
    kind: str
    clips: int
    missing: int
    clustering: Series
    clustering_across: Series
    retrieval: Figure
    retrieval_chance: float | None
    intensity: Series
    intensity_pooled: Series


class ProbeRow(Part):
    """How often a linear classifier reads identity or emotion off a code.

    Attributes:
        reads: `identity` (of clips with other recordings), REST (the same from codes less the mean of their emotion,
            which else outweighs the person where a person's clips differ in emotion), or `emotion` (of people it was
            not trained on).
        code: `sampled s` (Eq. 4, what the denoiser sees) or `mean mu`.
        chance: share of the most frequent label.
    """

    reads: str
    code: str
    kind: str
    accuracy: Figure
    chance: float
    labels: int
    clips: int


class Table3(Part):
    """The table and its companions.

    Attributes:
        intervals: how those of each kind of model came about.
        paper: its figures, measured on other data.
    """

    setting: Setting
    intervals: dict[str, str]
    paper: dict[str, dict[str, float]]
    rows: list[Row]
    probes: list[ProbeRow]


def measure_table3(
    dataset: PreparedDataset,
    models: Sequence[StyleModel],
    *,
    selection: Selection,
    seed: int,
    command: str,
    progress: bool = False,
) -> Table3:
    """Measure everything of Table 3.

    Args:
        dataset: a `SeenDataset` for puppets as they are seen.
        models: of one or two kinds; several of a kind are results of different seeds.
        selection: whose clips; `unseen` for those no training has seen.
        seed: of samples, folds and bootstraps.
        command: how it was called, for the record.
        progress: show bars on stderr.

    Raises:
        InputError: the dataset has too few identities or emotions, or does not fit the models.
    """
    rows = select_clips(dataset, selection, identities=2, emotions=2)
    codes = {
        (model.name, modality): encode_clips(
            model.encoder, dataset, rows, modality, progress=f"{model.name}: {modality}" if progress else ""
        )
        for model in models
        for modality in MODALITIES
    }
    groups = by_kind(models)
    found: list[Row] = []
    probes: list[ProbeRow] = []
    for kind, members in groups.items():
        for modality in MODALITIES:
            styles = [codes[model.name, modality].labelled() for model in members]
            neutrals = [m.encoder.neutral_code.cpu().numpy() if modality == BOTH else None for m in members]
            means = [style.gaussian.mean.numpy().astype(np.float64) for style in styles]
            missing = len(styles[0].missing)
            found.append(_row(modality, kind, styles[0].rows, means, neutrals, missing, seed))
        probes += probe_rows(kind, [codes[model.name, BOTH] for model in members], seed)
    both = codes[models[0].name, BOTH].labelled()
    found.append(_row(BASELINE, "", both.rows, [mean_expressions(dataset, both.rows)], [None], 0, seed))
    notes = [*unlabelled_note(rows), *_notes(found, probes)]
    return Table3(
        setting=describe(dataset, rows, selection, models, command, seed, notes),
        intervals={kind: method(len(members)) for kind, members in groups.items()},
        paper={name: dict(figures) for name, figures in PAPER.items()},
        rows=found,
        probes=probes,
    )


def _row(
    name: str,
    kind: str,
    rows: Sequence[ClipRow],
    codes: Sequence[np.ndarray],
    neutrals: Sequence[np.ndarray | None],
    missing: int,
    seed: int,
) -> Row:
    """Figures of the codes (B, D) that several models give the same clips."""
    emotions, people = [row.emotion for row in rows], [row.identity for row in rows]
    recordings, levels = [row.recording for row in rows], np.array([row.intensity for row in rows])
    names = sorted(set(people))
    place = {identity: k for k, identity in enumerate(names)}
    owners = np.array([place[identity] for identity in people], int)
    shown = in_order(set(emotions))
    felt = [emotion for emotion in shown if emotion != NEUTRAL]

    def by_identity(found: Sequence[Mapping[tuple[str, str], float]], labels: Sequence[str]) -> Series:
        """Of figures by (identity, emotion), one mapping per model."""
        statistics: dict[str, list[Statistic]] = {}
        for emotion in labels:
            own = [{place[who]: value for (who, what), value in each.items() if what == emotion} for each in found]
            statistics[emotion] = [ratio(list(each.values()), list(each), len(names)) for each in own]
        count = Counter(what for _, what in (found[0] if found else ()))
        return _series(statistics, {emotion: count[emotion] for emotion in labels}, len(names), seed)

    distances = [neutral_distances(c, emotions, people, n) for c, n in zip(codes, neutrals, strict=True)]
    is_of = {emotion: np.array([one == emotion for one in emotions], bool) for emotion in shown}
    pooled = {
        emotion: [_pooled(x, np.where(is_of[emotion], levels, 0), owners, len(names)) for x in distances]
        for emotion in felt
    }
    across = [clustering_strength(c, emotions) if len(shown) > 1 else {} for c in codes]
    alone = {emotion: [ratio([each.get(emotion, np.nan)], [0], 1) for each in across] for emotion in shown}
    people_of = {emotion: len(set(owners[is_of[emotion]])) for emotion in shown}
    found = [retrieve_emotions(c, emotions, people, recordings) for c in codes]
    chance = found[0].chance[np.isfinite(found[0].chance)]
    return Row(
        input=name,
        kind=kind,
        clips=len(rows),
        missing=missing,
        clustering=by_identity([_strengths(c, emotions, owners, names) for c in codes], shown),
        clustering_across=_series(alone, people_of, 1, seed, resample=False),
        retrieval=figure([ratio(each.right, owners, len(names)) for each in found], len(names), seed),
        retrieval_chance=round(float(chance.mean()), 6) if len(chance) else None,
        intensity=by_identity([correlations_by_identity(x, levels, emotions, people) for x in distances], felt),
        intensity_pooled=_series(pooled, {emotion: people_of[emotion] for emotion in felt}, len(names), seed),
    )


def _pooled(distances: np.ndarray, levels: np.ndarray, owners: np.ndarray, identities: int) -> Statistic:
    """Correlation of intensity over all clips with a level that is not 0."""
    return of_clips(lambda places: rank_correlation(distances[places], levels[places]), owners, identities)


def _strengths(
    codes: np.ndarray, emotions: Sequence[str], owners: np.ndarray, names: Sequence[str]
) -> dict[tuple[str, str], float]:
    """Clustering strength by (identity, emotion), of identities with two or more emotions."""
    strengths: dict[tuple[str, str], float] = {}
    for k, identity in enumerate(names):
        own = owners == k
        labels = [emotion for emotion, owner in zip(emotions, owners, strict=True) if owner == k]
        if len(set(labels)) > 1:
            found = clustering_strength(codes[own], labels).items()
            strengths |= {(identity, label): value for label, value in found if np.isfinite(value)}
    return strengths


def _series(
    statistics: Mapping[str, Sequence[Statistic]],
    count: Mapping[str, int],
    identities: int,
    seed: int,
    *,
    resample: bool = True,
) -> Series:
    """Figures of every emotion, and of their mean."""
    means = [average(of_model) for of_model in zip(*statistics.values(), strict=True)]
    return Series(
        emotions={name: figure(of, identities, seed, resample=resample) for name, of in statistics.items()},
        mean=figure(means, identities, seed, resample=resample) if means else Figure(),
        identities=dict(count),
    )


def probe_rows(kind: Kind, models: Sequence[StyleCodes], seed: int) -> Iterator[ProbeRow]:
    """What of the person and of the emotion is in the codes of several models of the same clips."""
    rows = models[0].rows
    heard: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        heard[row.identity].add(row.recording)
    told_apart = [k for k, row in enumerate(rows) if len(heard[row.identity]) > 1]
    labelled = [k for k, row in enumerate(rows) if row.emotion != UNKNOWN]
    eligible = {"identity": told_apart, REST: told_apart, "emotion": labelled}
    drawn = []
    for styles in models:
        generator = torch.Generator().manual_seed(seed)
        samples = torch.stack([styles.gaussian.sample(generator) for _ in range(SAMPLES)], dim=1)
        drawn.append({"sampled s": samples.numpy(), "mean mu": styles.gaussian.mean[:, None].numpy()})
    for reads, places in eligible.items():
        chosen = [rows[k] for k in places]
        people, recordings = [row.identity for row in chosen], [row.recording for row in chosen]
        emotions = [row.emotion for row in chosen]
        labels = emotions if reads == "emotion" else people
        if len(set(labels)) < 2:
            continue
        by_person = identity_folds(people, seed) if reads == "emotion" else recording_folds(people, recordings, seed)
        names = sorted(set(people))
        owners = [names.index(name) for name in people]
        for code in drawn[0]:
            used = [each[code][places] for each in drawn]
            if reads == REST:
                used = [without_emotion(each, emotions) for each in used]
            right = [probe(each, labels, by_person, recordings) for each in used]
            yield ProbeRow(
                reads=reads,
                code=code,
                kind=kind,
                accuracy=figure([ratio(each, owners, len(names)) for each in right], len(names), seed),
                chance=round(majority(labels), 6),
                labels=len(set(labels)),
                clips=len(chosen),
            )


def _notes(rows: Sequence[Row], probes: Sequence[ProbeRow]) -> Iterator[str]:
    for row in rows:
        if row.missing:
            yield f"clips without {row.input}: {row.missing}; they are left out of its row"
    if rows and not any(rows[-1].clustering.identities.values()):
        yield (
            "no identity has two clips of one emotion: clustering strength within identities (Eq. 8, the paper's "
            "table) needs them; make such a dataset, as with `svp puppet --clips-per-emotion 3 "
            "--emotions-per-identity 8`"
        )
    if rows and not any(rows[-1].intensity.identities.values()):
        yield "no identity shows an emotion in two levels: intensity is measured over all identities together only"
    if not any(row.reads == "identity" for row in probes):
        yield "no two identities have two recordings each: whether the code tells who speaks cannot be measured"
