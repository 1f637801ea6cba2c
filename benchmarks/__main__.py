"""Run `limits`, which takes minutes, those named, or all: python -m benchmarks [all | conditions faces ...]."""

import platform
import subprocess
import sys

import torch

from benchmarks import (
    approximations,
    conditions,
    evaluation,
    faces,
    fast,
    imports,
    jobs,
    limits,
    memory,
    prepare,
    puppets,
    reader,
    seams,
    small_grids,
    speech,
)

ALL = {
    "approximations": approximations.run,
    "conditions": conditions.run,
    "evaluation": evaluation.run,
    "faces": faces.run,
    "fast": fast.run,
    "imports": imports.run,
    "jobs": jobs.run,
    "limits": limits.run,
    "limits_bf16": limits.run_bf16,
    "memory": memory.run,
    "prepare": prepare.run,
    "puppets": puppets.run,
    "reader": reader.run,
    "seams": seams.run,
    "small_grids": small_grids.run,
    "speech": speech.run,
}
LONG = ("memory", "imports")  # ten minutes of video; 25 GB of disk: only when named, not by `all`


def main() -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"commit {commit.stdout.strip() or 'unknown'}")  # fmt: skip
    names = sys.argv[1:] or ["limits"]
    for name in [name for name in ALL if name not in LONG] if names == ["all"] else names:
        if name not in ALL:
            sys.exit(f"{name}: no such benchmark; there are all, {', '.join(ALL)}")
        print(f"\n{name}")
        ALL[name]()


if __name__ == "__main__":
    main()
