"""The weights: those shipped, with whether they are as they were shipped, Whisper, and those that others publish.

Of the latter the terms are told, whether they are there or not.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from svp.doctor.finding import Finding, State, examine
from svp.media.hashing import sha256_file, sha256_tensors, weights_sha256
from svp.weights.config import INDEX

ASSETS: Final = Path(__file__).parents[1] / "assets"
SUMS: Final = "SHA256SUMS"  # of all other files of the assets, as `sha256sum` writes them; see scripts/hash_assets.py
SHIPPED, IMPORTED = "Shipped weights", "Imported weights that measure (--weights DIR)"
OF_MODELS: Final = "Imported weights of a model (--weights MODEL)"
REINSTALL: Final = "pip install --force-reinstall . in a checkout of the repository"
ABOUT: Final = {  # by file or folder of the assets: what it is, what it is for, licence
    "mini": ("model mini", "svp generate", "Apache-2.0, see docs/model-card.md"),
    "styles": ("gallery of styles", "svp generate --style happy", "Apache-2.0, see docs/model-card.md"),
    "portraits": ("sample faces", "svp app", "see LICENCES.md beside them"),
    "face_model.npz": ("face model", "everything with a face", "CC0 1.0 and Apache-2.0"),
    "motions.safetensors": ("motion library", "svp generate --head-motion natural", "public domain"),
    "accelerate": ("settings of accelerate", "svp train on many machines", "Apache-2.0"),
}
OPTIONAL: Final = ("styles", "portraits", "accelerate")  # a video can be made without


def examine_weights(imported: Path | None) -> list[Finding]:
    """Shipped and imported weights; nothing is fetched.

    Args:
        imported: folder that `svp import` wrote: for `svp evaluate --weights`, or a model.
    """
    return [
        *examine(SHIPPED, {"shipped": _shipped, "Whisper": _whisper}, needed=True),
        *examine(IMPORTED, {"imported": partial(_imported, imported)}),
        *examine(OF_MODELS, {"imported": partial(_of_models, imported)}),
    ]


def shipped_files() -> list[Path]:
    """All assets but the list of their hashes, by name."""
    return sorted(path for path in ASSETS.rglob("*") if path.is_file() and path.name != SUMS)


def read_sums(path: Path) -> dict[str, str]:
    """Hashes by name, as `sha256sum` writes them."""
    pairs = (line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in pairs}


def _shipped() -> Iterator[Finding]:
    expected = read_sums(ASSETS / SUMS)
    for part, (name, purpose, licence) in ABOUT.items():
        files = {file: digest for file, digest in expected.items() if file.split("/")[0] == part}
        lacking = [file for file in files if not (ASSETS / file).is_file()]
        changed = [file for file in files if file not in lacking and sha256_file(ASSETS / file) != files[file]]
        state: State = "ok"
        if lacking or changed:
            state = "missing" if part in OPTIONAL else "broken"
        told = [f"{file} is missing" for file in lacking[:2]] + [f"{file} is not as shipped" for file in changed[:2]]
        size = sum((ASSETS / file).stat().st_size for file in files if file not in lacking) / 1e6
        found = "; ".join(told) or f"{len(files)} files, {size:.1f} MB, SHA-256 as shipped{_hash(part)}; {licence}"
        yield Finding(SHIPPED, name, state, found, purpose, REINSTALL if told else "")


def _hash(part: str) -> str:
    """Of all weights of a model, as `svp verify` tells it."""
    return f" ({weights_sha256(ASSETS / part)[:16]})" if (ASSETS / part / INDEX).is_file() else ""


def _whisper() -> Iterator[Finding]:
    from svp.speech.package import FOLDER, WEIGHTS, by_hand, local_folder, own_folder

    repository, purpose = f"openai/{FOLDER}", "hearing the recording (mini)"
    try:
        folder = local_folder(repository)
    except OSError as error:
        remedy = "set SVP_CACHE to a folder of your own, or change its permissions"
        yield Finding(SHIPPED, FOLDER, "broken", str(error), purpose, remedy)
        return
    if folder is None:
        remedy = f"fetched at the first video; without network {by_hand(repository)}"
        yield Finding(SHIPPED, FOLDER, "later", "not on this computer yet", purpose, remedy)
        return
    state: State = "ok"
    try:
        told, as_expected = _told_of(folder / WEIGHTS, packaged=folder == own_folder(repository))
    except (OSError, ValueError) as error:
        state, told, as_expected = "broken", f"damaged ({error})", False
    remedy = "" if as_expected else f"unless you put it there, delete {folder}: it is fetched again"
    yield Finding(SHIPPED, FOLDER, state, f"{folder}: {told}; MIT (OpenAI)", purpose, remedy)


def _told_of(path: Path, packaged: bool) -> tuple[str, bool]:
    """What is in a file of Whisper's weights, and whether nothing is to be done.

    Raises:
        OSError, ValueError: it cannot be read, or is damaged.
    """
    from svp.speech.package import ENCODER_SHA256, MODEL_SHA256

    digest = sha256_tensors(path)  # which looks at every tensor
    if not packaged:
        return f"{sha256_file(path)[:16]}, SHA-256 not compared (as the hub or you gave it)", True
    if digest == ENCODER_SHA256:  # named by the hash that provenance tells
        return f"SHA-256 of its tensors as expected, made of {MODEL_SHA256[:16]}", True
    return f"{digest[:16]}, SHA-256 of its tensors is another than of the pinned package", False


def _imported(folder: Path | None) -> Iterator[Finding]:
    from svp.evaluation.networks import NEEDED, ImportedNetworks
    from svp.weights.registry import find_weight

    records = ImportedNetworks(folder).records()
    for kind in dict.fromkeys(kind for kinds in NEEDED.values() for kind in kinds):
        weight = find_weight(kind)
        purpose = f"{_metrics_of(kind)} of `svp evaluate`"
        if folder is None or kind not in records:
            remedy = f"svp import {kind} {weight.files[0]} -o DIR, published at {weight.source}"
            found = f"not there; {weight.licence}; {weight.use}"
            yield Finding(IMPORTED, weight.title, "missing", found, purpose, remedy)
            continue
        record = records[kind]
        problem = _unreadable(folder / kind)
        terms = f"{record.licence}; {record.use}"
        found = problem or f"{record.file} sha256 {record.sha256[:16]} (no hash is published); {terms}"
        remedy = f"svp import {kind} {record.file} -o {folder}" if problem else ""
        yield Finding(IMPORTED, weight.title, "missing" if problem else "ok", found, purpose, remedy)


def _of_models(folder: Path | None) -> Iterator[Finding]:
    from svp.evaluation.networks import LOADERS
    from svp.weights.provenance import imported_files
    from svp.weights.registry import WEIGHTS

    records = [] if folder is None else imported_files(folder)
    for weight in WEIGHTS.values():
        if weight.kind in LOADERS:
            continue
        files = [record for record in records if record.kind == weight.kind]
        if not files:
            found, remedy = f"not there; {weight.licence}: {weight.use}", f"docs/weights.md; {weight.source}"
            yield Finding(OF_MODELS, weight.title, "missing", found, "models of size base", remedy)
            continue
        hashes = ", ".join(f"{record.file} sha256 {record.sha256[:16]}" for record in files)
        yield Finding(OF_MODELS, weight.title, "ok", f"{hashes}; {files[0].licence}: {files[0].use}")


def _metrics_of(kind: str) -> str:
    """Titles of the metrics that weights of a kind make possible."""
    from svp.evaluation.networks import NEEDED
    from svp.evaluation.registry import METRICS

    uses = [use for use, kinds in NEEDED.items() if kind in kinds]
    return ", ".join(metric.about.title for metric in METRICS if metric.about.uses in uses)


def _unreadable(folder: Path) -> str:
    """What is wrong with the file of an import, from its header; "" if nothing."""
    from safetensors import SafetensorError, safe_open

    from svp.weights.network import TORCHSCRIPT, weights_file

    path = weights_file(folder)
    if path.name == TORCHSCRIPT:
        return "" if zipfile.is_zipfile(path) else f"{path}: damaged"
    try:
        with safe_open(path, framework="numpy"):
            return ""
    except (SafetensorError, OSError) as error:
        return f"{path}: damaged ({error})"
