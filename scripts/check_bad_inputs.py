"""Try every case of `make_bad_inputs.py` as a process of its own and write a table.

    python scripts/make_bad_inputs.py OUT && python scripts/check_bad_inputs.py OUT [--only TEXT] [--table TABLE.md]

A case holds if it ends as expected in 2 GB of memory: an error in 10 seconds of processor time, with its exit code and
one line that holds the word and no traceback; what works makes its whole video, in up to a minute, and a disk that
fills up later has as long. The exit code is 1 if one does not. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from svp.errors import InputError
from svp.media.video import probe

SECONDS, GIGABYTES = 10.0, 2.0  # seconds until an error is told
PATIENCE = 60  # seconds of processor time until a process is ended
ROOM = {"room": 3000, "later": 70_000}  # bytes that a file may have where the disk is full, or fills up
DROP_BOUND, OVERRIDE, READ_SEARCH = 24, 1, 2  # prctl(PR_CAPBSET_DROP, CAP_DAC_...): root as everybody else


def confined(without: str) -> Callable[[], None]:
    """What a process does before it begins."""
    libc = ctypes.CDLL(None)

    def confine() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        if without in ROOM:
            resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM[without], ROOM[without]))
        if without == "power" and os.geteuid() == 0:
            for power in (OVERRIDE, READ_SEARCH):
                libc.prctl(DROP_BOUND, power, 0, 0, 0)

    return confine


def run(case: dict[str, Any], folder: Path) -> tuple[float, float, str]:
    """Seconds of processor time, gigabytes, and what is wrong with how the case ended."""
    for path in (folder / "out").iterdir():  # nothing of the case before
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    command = [sys.executable, "-m", "svp.cli", *case["command"]]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=told,
            stderr=told,
            stdin=subprocess.DEVNULL,
            preexec_fn=confined(case["without"]),
        )
        patience = threading.Timer(10 * PATIENCE, process.kill)  # what waits takes no time of a processor
        patience.start()
        _, status, used = os.wait4(process.pid, 0)
        patience.cancel()
        told.seek(0)
        text = told.read().decode(errors="replace")
    process.returncode = code = os.waitstatus_to_exitcode(status)
    seconds, gigabytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9
    return seconds, gigabytes, verdict(case, code, text, folder, seconds, gigabytes)


def unmade(command: list[str], folder: Path) -> str:
    """The output that a command names and has not made, or not whole; "" if there is none."""
    if "-o" not in command or "--plan" in command:
        return ""
    output = folder / command[command.index("-o") + 1]
    whole = any(output.iterdir()) if output.is_dir() else output.is_file() and output.stat().st_size > 0
    if whole and output.suffix == ".mp4":
        try:
            probe(output)
        except InputError:
            whole = False
    return "" if whole else str(output.relative_to(folder))


def verdict(case: dict[str, Any], code: int, text: str, folder: Path, seconds: float, gigabytes: float) -> str:
    """What is wrong; nothing if all is well."""
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    last = lines[-1]
    manifests = "".join(path.read_text() for path in folder.glob("out/*/manifest.jsonl"))  # reasons of jobs
    if "Traceback" in text or code != case["code"]:
        return f"exit code {code}: {last}"
    if case["word"] not in (last if code == 2 else text + manifests):
        return f"does not say {case['word']!r}: {last}"
    more = case["without"] == "later" or case["command"][0] == "import" or manifests  # a bar, terms, a report
    if code == 2 and not (last.startswith("svp: ") and (len(lines) == 1 or more)):
        return f"not one line: {' / '.join(lines)}"
    if case["expected"] == "works" and (lacking := unmade(case["command"], folder)):
        return f"has not made {lacking}"
    at_once = case["expected"] == "error" and case["without"] != "later"
    if (seconds > SECONDS and at_once) or gigabytes > GIGABYTES:
        return "takes too much"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Try bad inputs.")
    parser.add_argument("folder", type=Path, help="that make_bad_inputs.py wrote")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--table", type=Path, help="Markdown to write")
    options = parser.parse_args()
    cases = json.loads((options.folder / "bad_inputs.json").read_text())
    lines, wrong = ["| case | expected | seconds | GB | |", "|---|---|---|---|---|"], 0
    for case in cases:
        if options.only not in case["name"]:
            continue
        seconds, gigabytes, problem = run(case, options.folder)
        wrong += bool(problem)
        ended = problem or "as expected"
        lines.append(f"| {case['name'][:60]} | {case['expected']} | {seconds:.1f} | {gigabytes:.2f} | {ended} |")
        print(lines[-1], flush=True)
    if options.table is not None:
        options.table.write_text("\n".join(lines) + "\n")
    print(f"{len(lines) - 2} cases, {wrong} not as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
