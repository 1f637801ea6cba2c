"""What a trained model does on portraits and clips it never saw: figures and a contact sheet.

usage: measure_mini.py MODEL PORTRAITS_DIR CLIPS_DIR OUT_DIR [--seconds 5] [--steps N]

For every portrait a clip is taken in turn: its sound, its head motion (given to the portrait's own points) and no
style. Where the clip's own lips tell by how much its sound is early or late (as `svp prepare --correct-offset` asks),
that is taken out, and the clip counts as in step: a mouth that fits the sound cannot fit lips that do not. Measured on
the generated frames with the landmark detector:
  face found        share of frames
  pupil error       distance of the detected pupils from the Head-Kps, per distance between the pupils, median
  lip correlation   Pearson correlation of the inner lip gap with that of the true clip
  sound correlation correlation of the lip gap with the loudness of the sound, for comparison
Then each portrait speaks one sentence in several gallery styles; measured is the mean of some ARKit units over the
frames in which a face is found, null where none is.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from svp import SVPPipeline
from svp.datasets.audio_offset import AudioOffset, estimate_audio_offset
from svp.diffusion.portrait import Portrait, head_points
from svp.errors import InputError
from svp.face.fit import fit_clip
from svp.face.landmarks import LandmarkDetector, track_landmarks
from svp.face.model import FaceModel
from svp.face.mouth import lip_gap
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.media.image import contact_sheet, write_png
from svp.media.video import FPS, read_frames
from svp.speech.loudness import loudness
from svp.style.gallery import find_style, gallery_names

PUPILS = [468, 473]
KPS_PUPILS = [4, 5]  # their places among the eight Head-Kps
SYNC_SECONDS = 20.0  # of a clip that tell where its sound belongs
MEDIANS = ("face_found", "pupil_error", "lip_correlation", "sound_correlation", "true_sound_correlation")
UNITS = ("mouthSmileLeft", "mouthFrownLeft", "browInnerUp", "browDownLeft", "eyeWideLeft", "jawOpen")


def detect(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (N, 478, 3), NaN where no face was found, and whether one was."""
    with LandmarkDetector() as detector:
        found = [detector.detect(np.repeat(np.repeat(frame, 2, 0), 2, 1)) for frame in frames]
    track = np.stack([np.full((478, 3), np.nan) if f is None else f / 2 for f in found])
    return track, np.array([f is not None for f in found])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation over the frames that both know; NaN for too few of them, or where nothing changes."""
    n = min(len(a), len(b))
    good = np.isfinite(a[:n]) & np.isfinite(b[:n])
    a, b = a[:n][good], b[:n][good]
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 5 and a.std() > 0 and b.std() > 0 else float("nan")


def median(values: np.ndarray) -> float:
    """Median of the numbers that are known; NaN without any."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def rounded(value: float) -> float | None:
    """A figure for JSON, which has no NaN."""
    return round(value, 4) if np.isfinite(value) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("portraits", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--styles", nargs="*", default=["happy", "sad", "angry", "surprised"])
    options = parser.parse_args()
    pipeline = SVPPipeline.from_pretrained(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    if not gallery_names():
        options.styles = []
    portraits = load_portraits(pipeline, options.portraits)
    clips = sorted(options.clips.rglob("*.mp4"))
    for folder, found in ((options.portraits, portraits), (options.clips, clips)):
        if not found:
            parser.error(f"{folder}: nothing to measure on; name another folder")
    figures, rows, labels = [], [], []
    for k, (path, portrait) in enumerate(portraits.items()):
        clip = clips[k % len(clips)]
        truth = track_landmarks(read_frames(clip, FPS, seconds=max(SYNC_SECONDS, options.seconds)))
        sound = read_audio(clip)
        offset = estimate_audio_offset(lip_gap(truth), sound, FPS)
        audio = in_step(sound, offset)[: int(options.seconds * SAMPLE_RATE)]
        video = pipeline(
            portrait, audio, None, clip, seed=k, num_inference_steps=options.steps, guidance_scale=options.guidance
        )
        truth = truth[: len(video)]
        points = head_points(clip, portrait, loudness(audio, len(video)), "pose", k)
        track, found = detect(video.frames)
        between = np.linalg.norm(points[:, KPS_PUPILS[0]] - points[:, KPS_PUPILS[1]], axis=1)
        error = np.linalg.norm(track[:, PUPILS, :2] - points[:, KPS_PUPILS], axis=2).mean(1) / between
        figures.append({
            "portrait": path.name,
            "clip": clip.name,
            "frames": len(video),
            "sound_offset": rounded(offset.seconds * FPS) if offset.certain else None,
            "face_found": rounded(found.mean()),
            "pupil_error": rounded(median(error)),
            "lip_correlation": rounded(correlation(lip_gap(track), lip_gap(truth))),
            "sound_correlation": rounded(correlation(lip_gap(track), loudness(audio, len(video)))),
            "true_sound_correlation": rounded(correlation(lip_gap(truth), loudness(audio, len(truth)))),
            "lip_gap_std": rounded(lip_gap(track[found]).std() if found.any() else float("nan")),
        })  # fmt: skip
        print(json.dumps(figures[-1]), flush=True)
        video.save(options.out / f"{path.stem}.mp4")
        moments = np.linspace(0, len(video) - 1, 9).astype(int)
        rows.append([portrait.image, *video.frames[moments]])
        labels.append(f"{path.stem[:14]}")
    write_png(options.out / "speech.png", contact_sheet(rows, labels, cell=160))
    in_sync = [f for f in figures if f["sound_offset"] is not None]
    summary = {"all": medians(figures), f"{len(in_sync)} clips in step": medians(in_sync)}
    styles = measure_styles(pipeline, portraits, clips[0], options) if options.styles else []
    report = {"model": options.model, "median": summary, "clips": figures, "styles": styles}
    (options.out / "report.json").write_text(json.dumps(report, indent=1))
    print(json.dumps({"median": summary, "styles": styles}, indent=1))


def in_step(audio: np.ndarray, offset: AudioOffset) -> np.ndarray:
    """A clip's sound (samples,), moved to meet the clip's lips where that is certain."""
    moved = round(offset.seconds * SAMPLE_RATE) if offset.certain else 0
    return np.pad(audio, (moved, 0)) if moved > 0 else audio[-moved:]


def medians(figures: list[dict[str, object]]) -> dict[str, float | None]:
    """Median of each figure over the clips."""
    return {name: rounded(median(np.array([f[name] for f in figures], float))) for name in MEDIANS}


def load_portraits(pipeline: SVPPipeline, folder: Path) -> dict[Path, Portrait]:
    """The pictures of a folder by path; those without a face are told and left out."""
    portraits = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg")):
        try:
            portraits[path] = pipeline.portrait(path)
        except InputError as error:
            print(error, file=sys.stderr)
    return portraits


def measure_styles(
    pipeline: SVPPipeline, portraits: dict[Path, Portrait], clip: Path, options: argparse.Namespace
) -> list[dict[str, object]]:
    """Mean of some units per gallery style, over the portraits, same sound and head motion."""
    audio = read_audio(clip)[: 2 * 16000]
    model = FaceModel.load()
    index = [model.unit_names.index(unit) for unit in UNITS]
    rows, results = [], []
    for path, portrait in list(portraits.items())[:4]:
        row: list[np.ndarray] = []
        for style in options.styles:
            video = pipeline(
                portrait, audio, find_style(style), "still", num_inference_steps=options.steps,
                guidance_scale=options.guidance,
            )  # fmt: skip
            track, found = detect(video.frames)
            mean = np.full(len(UNITS), np.nan)
            if found.any():
                mean = fit_clip(track[found].astype(np.float32), model).expression.mean(0)[index]
            about = {"portrait": path.stem, "style": style, "face_found": rounded(found.mean())}
            results.append(about | dict(zip(UNITS, map(rounded, mean.tolist()), strict=True)))
            row += [video.frames[len(video) // 3], video.frames[2 * len(video) // 3]]
        rows.append([portrait.image, *row])
    names = ["portrait", *(name for style in options.styles for name in (style, style))]
    write_png(options.out / "styles.png", contact_sheet(rows, [], names, cell=160))
    return results


if __name__ == "__main__":
    main()
