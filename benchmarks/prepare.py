"""`svp prepare`: share of real time per core, where the time goes, what is written, what reading takes.

The clips are a portrait that sways, 512 pixels at 25 fps with sound; the aim is real time on each core. Bytes of real
clips are larger: they have grain. Whisper and Stable Diffusion's VAE have random weights, which take the same time.
"""

import cProfile
import pstats
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import cv2
import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from benchmarks.timing import seconds
from svp.datasets.clip import Clip
from svp.datasets.manifest import ClipRow
from svp.datasets.prepare import prepare_folder
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.media.image import read_image
from svp.media.video import FPS, VideoWriter
from svp.presets import SD_VAE
from svp.speech.alpha import WhisperAudioEncoder

PORTRAIT = Path(__file__).resolve().parents[1] / "samples" / "portraits" / "ada.png"
SIDE, SECONDS, CLIPS = 512, 10, 4
AUDIO = "log-mel"  # needs no weights
STUDIO, STUDIO_SECONDS = (1080, 1920), 5  # pixels and length of a clip as MEAD's are
WHISPER_TINY = WhisperConfig(encoder_ffn_dim=1536, encoder_layers=4, vocab_size=51865)
LENGTHS, WINDOW, READS = (2, 10, 60), 8, 40  # seconds of the clips that samples are read from, frames of a sample
PARTS = {  # by the function that does it
    "landmarks": ("landmarks.py", "detect"),
    "other faces": ("finder.py", "find"),
    "sharpness": ("quality.py", "sharpness"),
    "decoding": ("video.py", "decoded_frames"),
    "conversion to RGB, twice": ("decoded_frame.py", "picture"),
    "crop": ("crop.py", "apply"),
    "expression fit": ("fit.py", "fit_clip"),
    "sound features": ("extract.py", "alpha_of"),
    "H.264": ("video.py", "write"),
}


def swaying(number: int, side: int = SIDE) -> np.ndarray:
    picture = cv2.resize(read_image(PORTRAIT), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.roll(picture, round(12 * np.sin(number / 9)), axis=1)


def studio(number: int) -> np.ndarray:
    """A frame of STUDIO pixels whose middle is the portrait."""
    height, width = STUDIO
    beside = (width - height) // 2
    return np.pad(swaying(number, height), ((0, 0), (beside, beside), (0, 0)), mode="edge")


def write_source(path: Path, frame: Callable[[int], np.ndarray] = swaying, length: int = SECONDS) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, length * 16000).astype(np.float32)
    height, width = frame(0).shape[:2]
    with VideoWriter(path, width, height, audio=sound, preset="superfast") as video:
        for number in range(round(length * FPS)):
            video.write(frame(number))


def measure_speed(source: Path, place: Path) -> Path:
    """Print the ratio of real time by workers; returns a dataset."""
    prepare = partial(prepare_folder, source, size=SIDE, audio_encoder=AUDIO, progress=False)
    prepare(place / "warm")
    for workers in (1, 2):
        used = process_time()
        spent = seconds(partial(prepare, place / f"by{workers}", workers=workers))
        ratio = CLIPS * SECONDS / spent
        print(f"  {CLIPS} clips of {SECONDS} s, {SIDE} pixels, {workers} worker{'s' * (workers > 1)}: {spent:.1f} s, "
              f"{ratio:.2f} of real time, {ratio / workers:.2f} per core")  # fmt: skip
        if workers == 1:
            used = process_time() - used
            print(f"  the same in processor time, all threads: {used:.1f} s, {CLIPS * SECONDS / used:.2f} of real time")
    return place / "by1"


def measure_parts(source: Path, place: Path) -> None:
    profile = cProfile.Profile(process_time)  # of all threads, whatever else runs
    profile.runcall(prepare_folder, source, place, size=SIDE, audio_encoder=AUDIO, progress=False)
    stats = pstats.Stats(profile)
    spent: defaultdict[str, float] = defaultdict(float)
    for (file, _, function), (*_, cumulative, _) in stats.stats.items():  # type: ignore[attr-defined]
        for part, (name, wanted) in PARTS.items():
            if function == wanted and Path(file).name == name:
                spent[part] += cumulative
    total, frames = stats.total_tt, CLIPS * SECONDS * FPS  # type: ignore[attr-defined]
    spent["the rest"] = total - sum(spent.values())
    for part, time in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {part}: {1000 * time / frames:.1f} ms a frame, {time / total:.0%}")
    print(f"  all: {1000 * total / frames:.1f} ms of processor time a frame; real time is {1000 / FPS:.0f}")


def measure_large(place: Path) -> None:
    """Print processor time of a clip whose pictures are as large as MEAD's."""
    (place / "studio").mkdir()
    write_source(place / "studio" / "a.mp4", studio, STUDIO_SECONDS)
    used = process_time()
    prepare_folder(place / "studio", place / "large", size=SIDE, audio_encoder=AUDIO, progress=False)
    each = (process_time() - used) / (STUDIO_SECONDS * FPS)
    print(f"  {STUDIO[1]} x {STUDIO[0]} pixels: {1000 * each:.1f} ms of processor time a frame, "
          f"{1 / FPS / each:.2f} of real time per core")  # fmt: skip


def measure_networks() -> None:
    """Print what Whisper and the VAE of Stable Diffusion take for a second of video, one thread."""
    whisper, noise = WhisperAudioEncoder(WhisperEncoder(WHISPER_TINY).eval()), np.random.default_rng(0)
    for length in (3, SECONDS):
        sound = noise.normal(0, 0.1, length * 16000).astype(np.float32)
        with torch.no_grad():
            encode = partial(whisper.encode, sound, round(length * FPS))
            encode()
            used = process_time()
            encode()
        each = (process_time() - used) / length
        print(f"  Whisper-tiny, a clip of {length} s: {each:.3f} s of processor time for a second of video")
    vae = AutoencoderKL(**SD_VAE).eval()
    pictures = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        used = process_time()
        vae.encode(pictures)
    each = (process_time() - used) / len(pictures)
    print(f"  VAE, {SIDE} pixels: {each:.2f} s a frame, {each * FPS:.0f} s of processor time for a second of video")


def measure_bytes(dataset: Path) -> None:
    hours = CLIPS * SECONDS / 3600
    for name in ("clips/*.mp4", "clips/*.wav", "features/*"):
        size = sum(path.stat().st_size for path in dataset.glob(name))
        print(f"  {name}: {size / hours / 1e9:.2f} GB an hour")


def measure_reading(place: Path) -> None:
    """Time per training sample: a window of frames, its sound features and Head-Kps, anywhere in a clip."""
    writer = DatasetWriter(place, {"made": "benchmark"}, "arkit-52/1", AUDIO, SIDE)
    for length in LENGTHS:
        frames = round(length * FPS)
        row = ClipRow(clip_id=f"s{length}", source="benchmark", sha256="0", identity="ada", frames=frames, fps_in=25.0)
        features = {
            "expression": np.zeros((frames, 52)),
            "audio": np.zeros((frames, 1920)),
            "landmarks": np.zeros((frames, 478, 3)),
            "head_kps": np.zeros((frames, 8, 2)),
        }
        writer.add_clip(row, map(swaying, range(frames)), np.zeros(frames * 640, np.float32), features)
    writer.finish()
    dataset, rng = PreparedDataset(place), np.random.default_rng(0)

    def read(clip: Clip) -> None:
        for start in rng.integers(0, len(clip) - WINDOW, READS):
            clip.frames(start, start + WINDOW)
            clip.features("audio", start, start + WINDOW)
            clip.features("head_kps", start, start + WINDOW)

    for length in LENGTHS:
        clip = dataset.clip(f"s{length}")
        read(clip)
        each = seconds(partial(read, clip)) / READS
        print(f"  a sample of {WINDOW} frames of a clip of {length} s: {1000 * each:.1f} ms")


def run() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "source").mkdir()
        for number in range(CLIPS):
            write_source(place / "source" / f"{number}.mp4")
        dataset = measure_speed(place / "source", place)
        measure_parts(place / "source", place / "profiled")
        measure_large(place)
        measure_networks()
        measure_bytes(dataset)
        measure_reading(place / "reading")
