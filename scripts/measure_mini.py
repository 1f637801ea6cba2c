"""What a trained model does on portraits and clips it never saw: figures and a contact sheet.

usage: measure_mini.py MODEL PORTRAITS_DIR CLIPS_DIR OUT_DIR [--seconds 5] [--steps 25]

For every portrait a clip is taken in turn: its sound, its head motion (given to the portrait's own points) and no style.
Measured on the generated frames with the landmark detector:
  face found        share of frames
  pupil error       distance of the detected pupils from the Head-Kps, per distance between the pupils, median
  lip correlation   Pearson correlation of the inner lip gap with that of the true clip
  sound correlation correlation of the lip gap with the loudness of the sound, for comparison
Then each portrait speaks one sentence in several gallery styles; measured is the mean of some ARKit units.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from svp import SVPPipeline
from svp.diffusion.portrait import head_points
from svp.face.fit import fit_clip
from svp.face.landmarks import LandmarkDetector, track_landmarks
from svp.face.model import FaceModel
from svp.media.audio import read_audio
from svp.media.image import contact_sheet, write_png
from svp.media.video import FPS, read_frames
from svp.style.gallery import find_style, gallery_names

UPPER_LIP, LOWER_LIP = 13, 14
PUPILS = [468, 473]
KPS_PUPILS = [4, 5]  # their places among the eight Head-Kps
UNITS = ("mouthSmileLeft", "mouthFrownLeft", "browInnerUp", "browDownLeft", "eyeWideLeft", "jawOpen")


def lip_gap(landmarks: np.ndarray) -> np.ndarray:
    """Inner lip gap per distance between the pupils, (N,)."""
    scale = np.linalg.norm(landmarks[:, PUPILS[0], :2] - landmarks[:, PUPILS[1], :2], axis=1)
    return np.linalg.norm(landmarks[:, UPPER_LIP, :2] - landmarks[:, LOWER_LIP, :2], axis=1) / scale


def detect(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (N, 478, 3), NaN where no face was found, and whether one was."""
    with LandmarkDetector() as detector:
        found = [detector.detect(np.repeat(np.repeat(frame, 2, 0), 2, 1)) for frame in frames]
    track = np.stack([np.full((478, 3), np.nan) if f is None else f / 2 for f in found])
    return track, np.array([f is not None for f in found])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    n = min(len(a), len(b))
    good = np.isfinite(a[:n]) & np.isfinite(b[:n])
    return float(np.corrcoef(a[:n][good], b[:n][good])[0, 1]) if good.sum() > 5 else float("nan")


def loudness(audio: np.ndarray, n_frames: int) -> np.ndarray:
    padded = np.zeros(n_frames * 640)
    padded[: min(len(audio), len(padded))] = audio[: len(padded)]
    return np.sqrt((padded.reshape(n_frames, 640) ** 2).mean(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("portraits", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--styles", nargs="*", default=["happy", "sad", "angry", "surprised"])
    options = parser.parse_args()
    pipeline = SVPPipeline.from_pretrained(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    portraits = sorted(p for p in options.portraits.iterdir() if p.suffix.lower() in (".png", ".jpg"))
    clips = sorted(p for p in options.clips.rglob("*.mp4"))
    figures, rows, labels = [], [], []
    for k, path in enumerate(portraits):
        clip = clips[k % len(clips)]
        audio = read_audio(clip)[: int(options.seconds * 16000)]
        portrait = pipeline.portrait(path)
        video = pipeline(
            portrait, audio, None, clip, seed=k, num_inference_steps=options.steps, guidance_scale=options.guidance
        )
        truth = track_landmarks(read_frames(clip, FPS, seconds=len(video) / FPS))
        points = head_points(clip, portrait, len(video), "pose", k)
        track, found = detect(video.frames)
        between = np.linalg.norm(points[:, KPS_PUPILS[0]] - points[:, KPS_PUPILS[1]], axis=1)
        error = np.linalg.norm(track[:, PUPILS, :2] - points[:, KPS_PUPILS], axis=2).mean(1) / between
        figures.append({
            "portrait": path.name,
            "clip": clip.name,
            "frames": len(video),
            "face_found": float(found.mean()),
            "pupil_error": float(np.nanmedian(error)),
            "lip_correlation": correlation(lip_gap(track), lip_gap(truth)),
            "sound_correlation": correlation(lip_gap(track), loudness(audio, len(video))),
            "true_sound_correlation": correlation(lip_gap(truth), loudness(audio, len(truth))),
            "lip_gap_std": float(np.nanstd(lip_gap(track))),
        })  # fmt: skip
        print(json.dumps(figures[-1]), flush=True)
        video.save(options.out / f"{path.stem}.mp4")
        moments = np.linspace(0, len(video) - 1, 9).astype(int)
        rows.append([portrait.image, *video.frames[moments]])
        labels.append(f"{path.stem[:14]}")
    write_png(options.out / "speech.png", contact_sheet(rows, labels, cell=160))
    summary = {
        name: float(np.nanmedian([f[name] for f in figures]))
        for name in ("face_found", "pupil_error", "lip_correlation", "sound_correlation", "true_sound_correlation")
    }
    styles = measure_styles(pipeline, portraits, clips[0], options) if gallery_names() and options.styles else []
    report = {"model": options.model, "median": summary, "clips": figures, "styles": styles}
    (options.out / "report.json").write_text(json.dumps(report, indent=1))
    print(json.dumps({"median": summary, "styles": styles}, indent=1))


def measure_styles(
    pipeline: SVPPipeline, portraits: list[Path], clip: Path, options: argparse.Namespace
) -> list[dict[str, object]]:
    """Mean of some units per gallery style, over the portraits, same sound and head motion."""
    audio = read_audio(clip)[: 2 * 16000]
    model = FaceModel.load()
    index = [model.unit_names.index(unit) for unit in UNITS]
    rows, results = [], []
    for path in portraits[:4]:
        portrait, row = pipeline.portrait(path), []
        for style in options.styles:
            video = pipeline(
                portrait, audio, find_style(style), "still", num_inference_steps=options.steps,
                guidance_scale=options.guidance,
            )  # fmt: skip
            track, found = detect(video.frames)
            if found.any():
                mean = fit_clip(track[found].astype(np.float32), model).expression.mean(0)[index]
                results.append(
                    {"portrait": path.stem, "style": style} | dict(zip(UNITS, mean.round(3).tolist(), strict=True))
                )
            row += [video.frames[len(video) // 3], video.frames[2 * len(video) // 3]]
        rows.append([portrait.image, *row])
    names = ["portrait", *(name for style in options.styles for name in (style, style))]
    write_png(options.out / "styles.png", contact_sheet(rows, [], names, cell=160))
    return results


if __name__ == "__main__":
    main()
