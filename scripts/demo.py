"""The main job on the samples: one portrait, one sentence, two styles side by side.

Writes outputs/demo.mp4 (with sound) and outputs/demo.png (a contact sheet: rows are the portrait's styles, columns
moments of the sentence).
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = ROOT / "samples" / "portraits" / "ada.png"
SPEECH = ROOT / "samples" / "speech" / "face.wav"
STYLES = ("happy", "angry")
COLUMNS = 8
SCALE = 2  # the shipped model makes 128-pixel frames; shown twice as large


def main() -> None:
    console = Console(stderr=True)
    console.print(
        f"demo: {PORTRAIT.name} says {SPEECH.name} in the styles {' and '.join(STYLES)} (half a minute on 2 cores)"
    )
    import cv2

    from svp import SVPPipeline
    from svp.media.image import contact_sheet, write_png
    from svp.media.marking import MARKED
    from svp.media.video import FPS, VideoWriter

    started = time.monotonic()
    pipeline = SVPPipeline.from_pretrained("mini")
    portrait = pipeline.portrait(PORTRAIT)
    videos = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        for name in STYLES:
            task = bar.add_task(f"style {name}", total=None)

            def progress(done: int, total: int, task=task) -> None:
                bar.update(task, completed=done, total=total)

            videos.append(pipeline(portrait, SPEECH, name, callback=progress))
    out = ROOT / "outputs"
    out.mkdir(exist_ok=True)
    enlarged = [
        [cv2.resize(f, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC) for f in video.frames]
        for video in videos
    ]
    side = enlarged[0][0].shape[0]
    styles = tuple(style for video in videos for style in video.origin.styles)
    facts = replace(videos[0].origin, styles=styles).facts()

    def sign(complete: Path) -> None:
        MARKED.sign(complete, facts)

    sound, width = videos[0].sound, side * len(videos)
    with VideoWriter(out / "demo.mp4", width, side, FPS, sound.blocks(), sound.rate, finish=sign) as writer:
        for pair in zip(*enlarged, strict=True):
            writer.write(np.concatenate(pair, axis=1))
    moments = np.linspace(0, len(enlarged[0]) - 1, COLUMNS).round().astype(int)
    rows = [[portrait_tile(portrait.image, side), *[frames[i] for i in moments]] for frames in enlarged]
    sheet = contact_sheet(rows, STYLES, ["portrait", *(f"{i / 25:.2f} s" for i in moments)])
    write_png(out / "demo.png", sheet, weights_sha256=pipeline.weights_sha256)
    seconds = time.monotonic() - started
    console.print(f"demo: outputs/demo.mp4 and outputs/demo.png, {len(enlarged[0])} frames per style, {seconds:.0f} s")


def portrait_tile(image: np.ndarray, side: int) -> np.ndarray:
    import cv2

    return cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)


if __name__ == "__main__":
    main()
