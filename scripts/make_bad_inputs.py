"""Write a folder of inputs that go wrong, or look as if they would, and `bad_inputs.json`: what to try with each.

    python scripts/make_bad_inputs.py OUT

The list holds for every case its name, the arguments of `svp` (paths relative to OUT), whether it is an error or works,
a word that the line of an error holds, its exit code, and what the process must lack: "room" on the disk, at once or
"later", or the "power" of root, who may read and write everything. The same version of the libraries writes the same
bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.io import savemat

from bad_case import Case, error, generate, works
from bad_media import LONG, pictures, sounds, videos

ROOT = Path(__file__).resolve().parents[1]
MINI = ROOT / "src" / "svp" / "assets" / "mini"
HAPPY = ROOT / "src" / "svp" / "assets" / "styles" / "happy_3.safetensors"
LIST = "bad_inputs.json"


def styles() -> Iterator[Case]:
    """Saved styles, and styles over time."""
    tensors, header = load_file(HAPPY), style_header()
    save_style("foreign", tensors, header | {"encoder": "another"})
    save_style("short", {name: array[:8] for name, array in tensors.items()}, header)
    save_style("nan", tensors | {"mean": tensors["mean"] * np.nan}, header)
    save_style("new", tensors, header | {"version": 99})
    save_style("typed", tensors, header | {"name": 7})
    save_style("hollow", {name: array[:0] for name, array in tensors.items()}, header)
    save_file(tensors, "deep.safetensors", metadata={"svp": "[" * 100_000})
    save_file(tensors, "bare.safetensors")
    Path("cut.safetensors").write_bytes(HAPPY.read_bytes()[:500])
    Path("pickle.safetensors").write_bytes(b"\x80\x04\x95" + bytes(99))
    for name, word in (
        ("foreign", "made by style encoder another"),
        ("short", "8 numbers, not"),
        ("nan", "must be finite"),
        ("new", "update svp"),
        ("typed", "other than words"),
        ("hollow", "share one shape"),
        ("deep", "not a saved style"),
        ("bare", "not a saved style"),
        ("cut", "not a saved style"),
        ("pickle", "not a saved style"),
    ):
        yield error(f"style {name}", word, *generate("--style", f"{name}.safetensors"))
    mixed = ("style", "mix", "happy", "foreign.safetensors", "-o", "out/mix.safetensors")
    yield error("styles of two encoders", "another style encoder", *mixed)
    for name, content, word in (
        ("words", "sad then happy", "words.json"),
        ("object", "{}", "object.json"),
        ("key", '[{"style": "sad", "when": 1}]', "when"),
        ("past", '[{"style": "sad", "at": -1}]', "greater than or equal to 0"),
        ("deep", "[" * 100_000, "deep.json"),
        ("late", '[{"style": "sad"}, {"style": "happy", "at": 99}]', "the sound ends"),
    ):
        Path(f"{name}.json").write_text(content)
        yield error(f"timeline {name}", word, *generate("--style", f"{name}.json"))
    yield error("style of a long name", "too long", *generate("--style", "happy" * 99))


def style_header() -> dict[str, object]:
    data = HAPPY.read_bytes()
    return json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["svp"])


def save_style(name: str, tensors: dict[str, np.ndarray], header: dict[str, object]) -> None:
    save_file(tensors, f"{name}.safetensors", metadata={"svp": json.dumps(header)})


def models() -> Iterator[Case]:
    """Model folders and files of weights."""
    weights = "unet/diffusion_pytorch_model.safetensors"
    for name, file, content, word in (
        ("cut", weights, (MINI / weights).read_bytes()[:100_000], "damaged or cut short"),
        ("zero", weights, b"", "damaged or cut short"),
        ("pickled", weights, b"\x80\x04\x95" + bytes(9999), "damaged or cut short"),
        ("words", "vae/config.json", b"no config", "not readable as JSON"),
        ("deep", "vae/config.json", b"[" * 100_000, "not readable as JSON"),
        ("list", "model_index.json", b"[]", "holds no JSON object"),
        ("strange", "unet/config.json", b'{"_class_name": "DenoisingUNet", "wings": 2}', "wings"),
        ("other", "unet/config.json", b'{"_class_name": "UNet"}', "configuration of UNet"),
    ):
        linked_model(Path(f"model_{name}"))
        place = Path(f"model_{name}") / file
        place.unlink()
        place.write_bytes(content)
        yield error(f"model {name}", word, *generate("--model", f"model_{name}"))
    linked_model(Path("model_part"))
    shutil.rmtree("model_part/guider")
    yield error("model without a part", "part of the model is missing", *generate("--model", "model_part"))
    yield error("no model in the folder", "has no model_index.json", *generate("--model", "out"))
    yield error("wrong preset", "'huge' is not", *generate("--preset", "huge"))
    yield error("adapters that are none", "text.png", *generate("--adapters", "text.png"))
    yield error("library that is a style", "not a motion library", *generate("--head-motion", "foreign.safetensors"))
    for kind in ("sd15", "animatediff", "v-express", "whisper", "syncnet", "styletalk", "deep3d", "i3d", "inception"):
        for name in ("empty.png", "text.png"):
            yield error(f"{kind} from {name}", "no readable checkpoint", "import", kind, name, "-o", "out/imported")


def linked_model(folder: Path) -> None:
    for path in MINI.rglob("*"):
        if path.is_file():
            place = folder / path.relative_to(MINI)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)


def jobs() -> Iterator[Case]:
    """Files of jobs."""
    good = '{"portrait": "good.png", "audio": "good.wav", "output": '
    for name, content, word in (
        ("empty", b"", "holds no job"),
        ("binary", bytes(range(256)), "cannot be read"),
        ("words", b"make a video", "no JSON object"),
        ("deep", b"[" * 100_000, "no JSON object"),
        ("key", good.encode() + b'"a.mp4", "colour": "red"}', "colour"),
        ("path", good.encode() + b'"../../a.mp4"}', "inside the output folder"),
        ("missing", good.encode().replace(b"good.png", b"/etc/none.png") + b'"a.mp4"}', "no such file"),
        ("number", good.encode() + b'"a.mp4", "seed": 1e999}', "seed"),
    ):
        Path(f"jobs_{name}.jsonl").write_bytes(content)
        command = ("generate", "--jobs", f"jobs_{name}.jsonl", "-o", f"out/jobs_{name}")
        yield error(f"jobs {name}", word, *command)


def datasets() -> Iterator[Case]:
    """Prepared datasets, and folders to be prepared or measured."""
    Path("dataset").mkdir()
    description = {"format_version": 1, "size": 128, "expression_encoder": "e", "audio_encoder": "a", "options": {}}
    for name, index, manifest, word in (
        ("none", None, None, "no prepared dataset"),
        ("words", "no JSON", None, "not readable as JSON"),
        ("deep", "[" * 100_000, None, "not readable as JSON"),
        ("new", json.dumps(description | {"format_version": 99}), None, "format version 99"),
        ("bare", json.dumps({"format_version": 1}), None, "lacks"),
        ("unfinished", json.dumps(description), None, "no such manifest"),
        ("cut", json.dumps(description), b"PAR1" + bytes(40), "not a readable parquet file"),
    ):
        folder = Path(f"data_{name}")
        folder.mkdir()
        if index is not None:
            (folder / "dataset.json").write_text(index)
        if manifest is not None:
            (folder / "manifest.parquet").write_bytes(manifest)
        for command in (
            ("train", "prior", "--data", str(folder), "--out", "out/run"),
            ("style", "map", str(folder), "-o", "out/map.png"),
            ("reproduce", "table3", "--data", str(folder), "--model", "mini", "-o", "out/table"),
        ):
            yield error(f"{command[0]} of data {name}", word, *command)
    for folder in ("videos_none", "videos_text", "mats"):
        Path(folder).mkdir()
    shutil.copy("text.mp4", "videos_text/a.mp4")
    savemat("mats/other.mat", {"angles": np.zeros((5, 3))})
    savemat("mats/wide.mat", {"coeff": np.zeros((5, 9))})
    savemat("mats/nan.mat", {"coeff": np.full((5, 257), np.nan)})
    shutil.copy("text.mp4", "mats/text.mat")
    yield error("nothing to measure", "holds no video", "evaluate", "videos_none", "videos_text", "-o", "out/r.json")
    yield error("no metric", "sharpest", *("evaluate", "videos_text", "videos_text", "-o", "out/r.json"),
                "--metrics", "sharpest")  # fmt: skip
    yield error("nothing to prepare", "videos_none", "prepare", "videos_none", "out/data_none")
    options = ("--audio-features", "log-mel", "--workers", "1")
    yield works("videos that are none are set aside", "prepare", "videos_text", "out/data_text", *options)
    mats = ("prepare", "mats", "out/data_mats", "--layout", "coefficients", *options)
    yield works(".mat files that are none are set aside", *mats)
    yield error("unknown sound features", "birdsong", "prepare", "videos_text", "out/d", "--audio-features", "birdsong")


def outputs() -> Iterator[Case]:
    """Where nothing can be written, numbers that are none, and files to verify."""
    Path("folder.mp4").mkdir()
    Path("locked").mkdir(mode=0o555)
    yield error("file as folder", "cannot be made", *generate(out="good.png/a.mp4"))
    yield error("folder as video", "is a folder", *generate(out="folder.mp4"))
    yield error("read-only folder", "no permission", *generate(out="locked/a.mp4"), without="power")
    yield error("full disk", "cannot be written", *generate(out="out/full.mp4"), without="room")
    yield error("disk that fills up", "cannot be written", *generate(out="out/full.mp4"), without="later")
    full = ("style", "scale", "happy", "--strength", "2", "-o", "out/full.safetensors")
    yield error("full disk for a style", "cannot be written", *full, without="room")
    yield error("output of a long name", "too long", *generate(out=f"out/{LONG}123456.mp4"))
    yield error("output that is no video", "must end in .mp4", *generate(out="out/a.gif"))
    yield error("output that is an input", "is an input", *generate("--style", "good.mp4", out="good.mp4"))
    for name, option, value in (
        ("endless plan", "--seconds", "inf"),
        ("plan of no length", "--seconds", "nan"),
        ("style of no strength", "--style-strength", "nan"),
        ("guidance without an end", "--guidance-audio", "inf"),
        ("guidance beyond all use", "--guidance-style", "1e300"),
    ):
        yield error(name, option, *generate("--plan", option, value))
    yield error("page for endless recordings", "--max-seconds", "app", "--max-seconds", "nan")
    yield error("text to verify", "text.mp4: ", "verify", "text.mp4")
    yield error("nothing to verify", "empty.mp4: ", "verify", "empty.mp4")


PARTS = (pictures, sounds, videos, styles, models, jobs, datasets, outputs)


def make(out: Path) -> list[Case]:
    """Write everything into a new folder.

    Raises:
        FileExistsError: the folder is there.
    """
    out.mkdir(parents=True)
    here = os.getcwd()
    os.chdir(out)
    try:
        Path("out").mkdir()
        cases = [replace(case, part=part.__name__) for part in PARTS for case in part()]
        Path(LIST).write_text(json.dumps([asdict(case) for case in cases], indent=1, ensure_ascii=False) + "\n")
    finally:
        os.chdir(here)
    return cases


def main() -> int:
    parser = argparse.ArgumentParser(description="Write inputs that go wrong, and what to try with each.")
    parser.add_argument("out", type=Path, help="folder, new")
    out = parser.parse_args().out
    if out.exists():
        print(f"{out}: is there already; name a new folder", file=sys.stderr)
        return 2
    print(f"{out}: {len(make(out))} cases in {LIST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
