"""`svp train`, killed with SIGKILL at whatever moment and resumed, goes on as if nothing had happened."""

import random
import signal
import sys
import time
from pathlib import Path

import pytest
from tiny_training import logged, start_tiny

from svp.cli import main

pytestmark = pytest.mark.long

STEPS, KILLS = 10, 3


def svp(arguments: list[str]) -> None:
    sys.argv = ["svp", *arguments]
    main()


def test_every_later_loss_equals_that_of_a_run_without_a_break(tmp_path, tiny_dataset, runs):
    def start(run: Path, *more: str):
        arguments = ["train", "style", "--data", str(tiny_dataset), "--init", str(runs["motion"]), "--out", str(run)]
        arguments += ["--steps", str(STEPS), "--decay-steps", "3", "--batch-size", "4", "--accumulate", "2"]
        arguments += ["--frames", "4", "--min-snr-gamma", "5", "--checkpoint-every", "2"]
        return start_tiny(svp, [*arguments, *more])

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start(whole)
    process.join()
    assert process.exitcode == 0

    moment, killed = random.Random(0), 0
    for kill in range(KILLS):
        before = len(logged(broken, "train/loss"))
        process = start(broken, *(["--resume"] if (broken / "options.json").exists() else []))
        step = moment.randint(1, 3) + 3 * kill
        while process.is_alive():  # one that begins anew has no losses for a moment
            losses = logged(broken, "train/loss")
            if losses and len(losses) != before and losses[-1][0] >= step:
                break
            time.sleep(0.1)
        time.sleep(moment.uniform(0, 0.1))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed
    process = start(broken, "--resume")
    process.join()
    assert process.exitcode == 0

    for tag in ("train/loss", "train/mse", "train/gradient_norm", "validation/loss"):
        assert logged(broken, tag) == logged(whole, tag), tag
    assert [step for step, _ in logged(broken, "train/loss")] == list(range(1, STEPS + 1))
    weights = sorted(path.relative_to(whole) for path in (whole / "model").rglob("*.safetensors"))
    assert weights
    for path in weights:
        assert (broken / path).read_bytes() == (whole / path).read_bytes(), path
