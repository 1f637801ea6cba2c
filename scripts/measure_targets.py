"""What a model has to show on people and recordings it never saw, each figure beside its bar.

usage: measure_targets.py MODEL DATASET PEOPLE OUT [--split all] [--clips 42] [--steps N] [--guidance G] [--fast exact]
                          [--reference other|own] [--portrait P.png --speech S.wav]

DATASET is a prepared dataset of unseen people; its clips are made again (`reconstruct.py`) with their own style
(OUT/own), with that of another emotion (OUT/other), without any (OUT/none) and, where the emotion is known, with the
shipped style of its emotion and level (OUT/gallery), and `svp evaluate` measures them all (OUT/report.json). The
portrait is a frame of another clip of the person, with another emotion, or with --reference own the clip's own first
frame. PEOPLE is a folder of pictures of at least 40 other people. Measured:
  pixels, head, lips, flicker   means of the report, the truth beside them
  identity   share of clips whose face embedding is nearer to their portrait than to every one of the 40 other people,
             all pictures brought to the model's size; the truth's own share beside it
  style      share of clips whose expression is nearer to the truth with the right style than without any, and than with
             the wrong one; share whose style lies nearest to the gallery's centroid of the emotion asked for
  drift      with --portrait and --speech (a minute): sharpness, and distance of the face embedding from the portrait,
             mean of the last ten seconds against the first ten, in %; both curves are in the file
OUT/targets.json has the figures. Videos that are there are kept, so a run that was stopped goes on.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reconstruct import STYLES, chosen, portrait_of, reconstruct
from svp import SVPPipeline
from svp.datasets.manifest import UNKNOWN, ClipRow
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.model_folder import find_model
from svp.diffusion.portrait import Portrait, prepare_portrait
from svp.errors import InputError
from svp.evaluation.drift import SECOND, seconds_of
from svp.evaluation.embedding import HOW_TO_GET, FaceEmbedder, installed_embedder
from svp.evaluation.evaluate import evaluate
from svp.evaluation.observe import detect_enlarged, sharpness
from svp.evaluation.registry import choose
from svp.evaluation.report import TRUTH, Report
from svp.face.landmarks import LandmarkDetector
from svp.media.video import FPS, read_frames

OTHER_PEOPLE = 40
DRIFT_SECONDS = 10  # at the beginning and at the end, whose means are compared
BARS = {
    "psnr": (">=", 22), "ssim": (">=", 0.80), "head_kps": ("<=", 3), "lip_correlation": (">=", 0.6),
    "flicker_over_truth": ("<=", 1.5), "identity": (">=", 0.95), "style_beats_none": (">=", 0.80),
    "style_beats_other": (">=", 0.80), "emotion_requested": (">=", 0.70), "drift_sharpness": ("<=", 5),
    "drift_embedding": ("<=", 5),
}  # fmt: skip
MEANS = (
    "psnr", "ssim", "head_kps", "head_pose", "gaze_error", "blink_error", "lip_correlation", "lip_lag", "flicker",
    "identity_embedding", "beta_error", "emotion_accuracy", "style_sim_prior",
)  # fmt: skip


def means(report: Report, system: str) -> dict[str, float | None]:
    """The means of a system in the metrics of MEANS that were measured."""
    rows = {metric.name: row for metric in report.metrics for row in metric.rows if row.system == system}
    return {name: rows[name].mean for name in MEANS if name in rows}


def style_shares(report: Report) -> dict[str, float]:
    """Shares of the clips whose beta error is lower with their own style than without, and than with another.

    A video without a face has an infinite error.
    """
    errors = {
        style: {clip.name: clip.values.get("beta_error", np.inf) for clip in report.clips if clip.system == style}
        for style in ("own", "none", "other")
    }

    def share(style: str) -> float:
        return float(np.mean([errors["own"][name] < error for name, error in errors[style].items()]))

    return {"style_beats_none": share("none"), "style_beats_other": share("other")}


def embedding(embedder: FaceEmbedder, detector: LandmarkDetector, frame: np.ndarray) -> np.ndarray | None:
    """Of a picture (S, S, 3); None where no face is found."""
    found = detect_enlarged(detector, frame)
    return None if found is None else embedder.embed(frame, found)


def identity_shares(
    people: Path, size: int, dataset: PreparedDataset, rows: list[ClipRow], videos: Path, own: bool
) -> dict[str, float]:
    """Shares of the videos, and of the true clips, that are nearer to their portrait than to 40 other people.

    Raises:
        InputError: dlib is not installed, or PEOPLE shows fewer faces.
    """
    embedder, others = installed_embedder(), []
    if embedder is None:
        raise InputError(f"identity {HOW_TO_GET}")
    for path in sorted(people.iterdir()):
        try:
            picture = prepare_portrait(path, size)
        except InputError:
            continue  # no picture, or no face in it
        others.append(embedder.embed(picture.image, picture.landmarks))
        if len(others) == OTHER_PEOPLE:
            break
    if len(others) < OTHER_PEOPLE:
        raise InputError(f"{people}: shows {len(others)} faces; a folder with {OTHER_PEOPLE} is needed")
    nearest: dict[str, list[bool]] = {"own": [], TRUTH: []}
    with LandmarkDetector() as detector:
        for row in rows:
            portrait = portrait_of(dataset, row, own)
            asked = embedder.embed(portrait.image, portrait.landmarks)
            files = {"own": videos / f"{row.clip_id}.mp4", TRUTH: dataset.clip(row.clip_id).video_path}
            for name, file in files.items():
                frames = list(read_frames(file, FPS))
                seen = embedding(embedder, detector, frames[len(frames) // 2])
                rivals = [] if seen is None else [float(np.linalg.norm(seen - other)) for other in others]
                nearest[name].append(seen is not None and float(np.linalg.norm(seen - asked)) < min(rivals))
    return {"identity": float(np.mean(nearest["own"])), "identity_truth": float(np.mean(nearest[TRUTH]))}


def drift(portrait: Portrait, video: Path) -> dict[str, Any]:
    """Sharpness and distance of the face embedding from the portrait, per second, and how the end departs."""
    embedder, sharp, distance = installed_embedder(), [], []
    assert embedder is not None  # identity_shares came before
    asked = embedder.embed(portrait.image, portrait.landmarks)
    with LandmarkDetector() as detector:
        for number, frame in enumerate(read_frames(video, FPS)):
            sharp.append(sharpness(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)))
            if number % SECOND == 0:
                seen = embedding(embedder, detector, frame)
                distance.append(np.nan if seen is None else float(np.linalg.norm(seen - asked)))
    curves = {"sharpness": seconds_of(np.array(sharp)), "embedding": np.array(distance)}
    figures: dict[str, Any] = {}
    for name, curve in curves.items():
        first, last = curve[:DRIFT_SECONDS], curve[-DRIFT_SECONDS:]
        seen = np.isfinite(first).any() and np.isfinite(last).any()
        figures[f"drift_{name}"] = float(100 * (np.nanmean(last) / np.nanmean(first) - 1)) if seen else None
        figures[f"{name}_by_second"] = [round(float(value), 4) if np.isfinite(value) else None for value in curve]
    return figures


def table(figures: Mapping[str, Any]) -> str:
    """The figures that have a bar, one line each."""
    lines = []
    for name, (order, bar) in BARS.items():
        if figures.get(name) is not None:
            value = abs(figures[name]) if name.startswith("drift") else figures[name]
            met = value >= bar if order == ">=" else value <= bar
            lines.append(f"{name:20} {figures[name]:8.3f}  {order} {bar:<5} {'met' if met else 'not met'}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("people", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="all", choices=("train", "val", "test", "all"))
    parser.add_argument("--clips", type=int, default=42)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--fast", default="exact")
    parser.add_argument("--reference", default="other", choices=("own", "other"))
    parser.add_argument("--portrait", type=Path)
    parser.add_argument("--speech", type=Path)
    options = parser.parse_args()
    sampling = {"num_inference_steps": options.steps, "guidance_scale": options.guidance, "fast": options.fast}
    try:
        pipeline, dataset = SVPPipeline.from_pretrained(options.model), PreparedDataset(options.dataset)
        rows = chosen(dataset, options.split, options.clips)
        asked = {style: rows for style in STYLES} | {"gallery": [row for row in rows if row.emotion != UNKNOWN]}
        for style, clips in asked.items():
            reconstruct(
                pipeline, dataset, clips, options.out / style, reference=options.reference, style=style,
                steps=options.steps, guidance=options.guidance, fast=options.fast,
            )  # fmt: skip
        systems = {style: options.out / style for style, clips in asked.items() if clips}
        encoder = find_model(options.model) / "style_encoder"
        report = evaluate(systems, options.dataset, choose([]), style_encoder=encoder, workers=2)
        (options.out / "report.json").write_text(report.model_dump_json(indent=1))
        own, truth = means(report, "own"), means(report, TRUTH)
        figures: dict[str, Any] = {**own, "truth": truth, "sampling": sampling, "clips": len(rows)}
        if "gallery" in systems:
            figures["emotion_requested"] = means(report, "gallery").get("emotion_accuracy")
        if own["flicker"] is not None and truth["flicker"]:
            figures["flicker_over_truth"] = own["flicker"] / truth["flicker"]
        figures |= style_shares(report)
        size = pipeline.settings.image_size
        figures |= identity_shares(options.people, size, dataset, rows, options.out / "own", options.reference == "own")
        if options.portrait is not None and options.speech is not None:
            portrait, video = prepare_portrait(options.portrait, size), options.out / "long.mp4"
            if not video.exists():
                pipeline.stream(portrait, options.speech, **sampling).save(video)
            figures |= drift(portrait, video)
    except InputError as error:
        print(f"measure_targets.py: {error}", file=sys.stderr)
        return 2
    (options.out / "targets.json").write_text(json.dumps(figures, indent=1))
    print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
