"""The computer: system, processor, memory, disks, devices."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from svp import __version__
from svp.cores import CORES
from svp.doctor.finding import Finding, examine

SECTION: Final = "System"
NEEDED_MEMORY_GB: Final = 2.0  # `mini` takes about 1
NEEDED_DISK_GB: Final = 0.5
VARIABLES: Final = ("SVP_", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "CUDA_VISIBLE_DEVICES", "HF_H", "XDG_")
SECRET: Final = (
    "PASS",
    "PWD",
    "TOKEN",
    "SECRET",
    "AUTH",
    "KEY",
    "CREDENTIAL",
    "COOKIE",
)  # in the name of a variable whose value is nobody's business
GB: Final = 1e9


def examine_system() -> list[Finding]:
    """What the computer is."""
    checks = {"software": _software, "processor": _processor, "memory": _memory, "disk": _disks, "device": _devices}
    return [
        *examine(SECTION, checks),
        *examine(SECTION, {"signature": _signature}, needed=True),
        *examine(SECTION, {"environment": _environment}),
    ]


def _software() -> Iterator[Finding]:
    yield Finding(SECTION, "svp", "ok", __version__)
    yield Finding(SECTION, "system", "ok", platform.platform())
    yield Finding(SECTION, "Python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")


def _processor() -> Iterator[Finding]:
    yield Finding(SECTION, "processor", "ok", f"{processor_name()}, {CORES} of {os.cpu_count()} cores usable")


def processor_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    free, total = memory.available / GB, memory.total / GB
    little = free < NEEDED_MEMORY_GB
    yield Finding(
        SECTION,
        "memory",
        "missing" if little else "ok",
        f"{free:.1f} of {total:.1f} GB free",
        remedy="close other programs; `svp generate --max-memory` makes a video fit" if little else "",
    )


def _disks() -> Iterator[Finding]:
    from svp.media.certificate import data_dir
    from svp.speech.package import cache_dir

    for name, folder in (("here", Path.cwd()), ("cache", cache_dir()), ("data", data_dir())):
        there = next(place for place in (folder, *folder.absolute().parents) if _is_there(place))
        free = shutil.disk_usage(there).free / GB
        writable = os.access(there, os.W_OK | os.X_OK)
        remedy = ""
        if name != "here" and not writable:
            remedy = f"set SVP_{name.upper()} to a folder of your own"
        elif free < NEEDED_DISK_GB:
            remedy = "make room"
        found = f"{folder}: {free:.1f} GB free" + ("" if writable else ", not writable")
        yield Finding(SECTION, f"disk, {name}", "missing" if remedy else "ok", found, remedy=remedy)
    yield _temporary()


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # it lies in one that may not be entered
        return False


def _temporary() -> Finding:
    purpose = "libraries, and recordings of more than two minutes"
    try:
        folder = tempfile.gettempdir()
    except OSError as error:
        remedy = "set TMPDIR to a folder of your own"
        return Finding(SECTION, "disk, temporary", "broken", error.strerror or str(error), purpose, remedy)
    return Finding(SECTION, "disk, temporary", "ok", f"{folder}: {shutil.disk_usage(folder).free / GB:.1f} GB free")


def _devices() -> Iterator[Finding]:
    import torch

    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = [name for name in ("avx2", "avx512_bf16", "amx_bf16") if capabilities.get(name)]
    found = f"{torch.get_num_threads()} threads{', ' + ', '.join(fast) if fast else ''}"
    yield Finding(SECTION, "device cpu", "ok", found)
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        yield Finding(SECTION, f"device cuda:{index}", "ok", f"{about.name}, {about.total_memory / GB:.1f} GB")
    if not torch.cuda.is_available():
        built = torch.version.cuda or "without CUDA"
        remedy = "install a CUDA build of torch, see https://pytorch.org" if torch.version.cuda is None else ""
        yield Finding(SECTION, "device cuda", "missing", f"none seen by torch ({built})", "a GPU's speed", remedy)


def _signature() -> Iterator[Finding]:
    from svp.errors import InputError
    from svp.media.certificate import given_certificate, kept_certificate

    purpose = "marking videos as made by AI"
    try:
        certificate = given_certificate() or kept_certificate()
        if certificate is None:
            yield Finding(SECTION, "signature", "later", "this computer has no certificate yet", purpose)
            return
        certificate.check()
    except InputError as error:
        yield Finding(SECTION, "signature", "broken", str(error), purpose)
        return
    yield Finding(SECTION, "signature", "ok", f"{certificate.chain}: signs", purpose)


def _environment() -> Iterator[Finding]:
    given = [
        f"{name}={'set' if any(word in name.upper() for word in SECRET) else value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(VARIABLES)
    ]
    yield Finding(SECTION, "environment", "ok", "; ".join(given) or "nothing that svp reads")
    yield Finding(SECTION, "interpreter", "ok", sys.executable)
