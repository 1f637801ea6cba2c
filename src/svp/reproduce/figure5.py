"""Figure 5: a map of the style priors, and how faithful it is (paper Sec. 4.4).

Shapes: B clips, D channels of a code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Drawing
from sklearn.manifold import trustworthiness

from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import Selection, select_clips
from svp.evaluation.report import Part
from svp.reproduce.models import StyleModel
from svp.reproduce.setting import Setting, describe, setting_markdown, unlabelled_note
from svp.style.codes import BOTH, MODALITIES, encode_clips
from svp.style.map import FEWEST, draw_map, project
from svp.style.retrieval import retrieve_emotions

NEIGHBOURS = 5  # of the trustworthiness


class MapPoint(Part):
    """A clip on the map."""

    clip_id: str
    identity: str
    emotion: str
    intensity: int
    x: float
    y: float


class StyleMap(Part):
    """One map.

    Attributes:
        picture: name of its file.
        missing: clips that lack the modality.
        trustworthiness: 1 where neighbours on the map are neighbours in the style space too.
        nearest, nearest_on_map: share of clips whose nearest neighbour of another identity shows the same emotion, in
            the style space and on the map; `chance`: a random one.
    """

    model: str
    input: str
    picture: str
    missing: int
    trustworthiness: float | None
    nearest: float | None
    nearest_on_map: float | None
    chance: float | None
    points: list[MapPoint]


class Figure5(Part):
    """The maps of all models and modalities."""

    setting: Setting
    maps: list[StyleMap]


def measure_figure5(
    dataset: PreparedDataset,
    models: Sequence[StyleModel],
    *,
    selection: Selection,
    seed: int,
    command: str,
    progress: bool = False,
) -> tuple[Figure5, dict[str, Drawing]]:
    """Maps of the styles of a dataset, with their drawings by file name. Arguments and errors as `measure_table3`.

    The paper shows one speaker; here are all of the selection, unless there is only one.
    """
    rows = select_clips(dataset, selection, emotions=2, clips=FEWEST)
    maps, drawings = [], {}
    for number, model in enumerate(models, start=1):
        for modality in reversed(MODALITIES):
            shown = f"{model.name}: {modality}"
            codes = encode_clips(model.encoder, dataset, rows, modality, progress=shown if progress else "").labelled()
            if len(codes.rows) < FEWEST:  # hardly any clip has sound
                continue
            name = "figure5"
            name += f"_model{number}" if len(models) > 1 else ""
            name += f"_{modality}" if modality != BOTH else ""
            mu_BD = codes.gaussian.mean.numpy().astype(np.float64)
            points_B2 = project(mu_BD, seed).astype(np.float64)
            labels = [[getattr(row, key) for row in codes.rows] for key in ("emotion", "identity", "recording")]
            found, on_map = (retrieve_emotions(c, *labels) for c in (mu_BD, points_B2))
            faithful = trustworthiness(mu_BD, points_B2, n_neighbors=NEIGHBOURS) if _enough(len(mu_BD)) else np.nan
            maps.append(
                StyleMap(
                    model=model.name,
                    input=modality,
                    picture=f"{name}.png",
                    missing=len(codes.missing),
                    trustworthiness=_mean(np.array([faithful])),
                    nearest=_mean(found.right),
                    nearest_on_map=_mean(on_map.right),
                    chance=_mean(found.chance),
                    points=[
                        MapPoint(
                            **row.model_dump(include={"clip_id", "identity", "emotion", "intensity"}),
                            x=round(float(x), 3),
                            y=round(float(y), 3),
                        )
                        for row, (x, y) in zip(codes.rows, points_B2, strict=True)
                    ],
                )
            )
            people, where = len({row.identity for row in codes.rows}), dataset.root.resolve().name
            title = f"styles of {people} {'person' if people == 1 else 'people'} by {modality} ({where})"
            drawings[f"{name}.png"] = draw_map(points_B2, codes.rows, title)
    setting = describe(dataset, rows, selection, models, command, seed, unlabelled_note(rows))
    return Figure5(setting=setting, maps=maps), drawings


def figure5_markdown(figure: Figure5) -> str:
    """The pictures, and a table of how faithful they are."""
    lines = ["| model | input | clips | trustworthiness | nearest, style space | nearest, map | chance |"]
    lines.append(f"|{'---|' * 7}")
    for one in figure.maps:
        numbers = (one.trustworthiness, one.nearest, one.nearest_on_map, one.chance)
        cells = " | ".join("–" if value is None else f"{value:.2f}" for value in numbers)
        lines.append(f"| {one.model} | {one.input} | {len(one.points)} | {cells} |")
    blocks = [
        "# Figure 5: a map of the style priors",
        "t-SNE of the means mu. The colour is the emotion, darker and larger with the intensity. Distances on a map "
        "mean little, neighbourhoods something: trustworthiness is 1 where neighbours on the map are neighbours in the "
        f"style space too ({NEIGHBOURS} of them); nearest: share of clips whose nearest neighbour of another identity "
        "(and recording) shows the same emotion; chance: a random one.",
        *(f"![styles by {one.input}]({one.picture})" for one in figure.maps),
        "\n".join(lines),
        "## How it was measured",
        "\n".join(setting_markdown(figure.setting)),
    ]
    return "\n\n".join(blocks) + "\n"


def _enough(clips: int) -> bool:
    return clips > 2 * NEIGHBOURS


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 6) if len(known) else None
