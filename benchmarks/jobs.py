"""N videos by `svp generate --jobs`, one load of the model per worker, against N commands one after the other."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.timing import seconds
from svp.media.audio import read_audio, write_wav

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
VIDEOS, SECONDS = 8, 1.0


def svp(*arguments: object) -> None:
    command = [sys.executable, "-m", "svp.cli", "generate", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run() -> None:
    with TemporaryDirectory() as place:
        folder, portrait = Path(place), SAMPLES / "portraits" / "ada.png"
        sound = folder / "sound.wav"
        write_wav(sound, read_audio(SAMPLES / "speech" / "road.wav")[: round(16_000 * SECONDS)])
        lines = [{"portrait": str(portrait), "audio": str(sound), "seed": seed} for seed in range(VIDEOS)]
        jobs = folder / "jobs.jsonl"
        jobs.write_text("\n".join(map(json.dumps, lines)))

        def commands() -> None:
            for seed in range(VIDEOS):
                common = ("--portrait", portrait, "--audio", sound)
                svp(*common, "--seed", seed, "-o", folder / "single.mp4")

        alone = seconds(commands)
        for workers in (1, 2):
            options = ("--jobs", jobs, "-o", folder / f"by{workers}", "--workers", workers)
            together = seconds(partial(svp, *options))
            print(f"  {VIDEOS} videos of {SECONDS:g} s: {VIDEOS} commands {alone:.1f} s, --jobs with {workers} "
                  f"worker{'s' * (workers > 1)} {together:.1f} s, ratio {alone / together:.2f}, "
                  f"{60 * VIDEOS / together:.0f} videos a minute")  # fmt: skip
