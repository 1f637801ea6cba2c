"""However a batch is divided, over processes or micro-batches, the weights come out the same (float64)."""

import os
import socket
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_training import small_options, start_tiny
from torch import Tensor
from torch.utils.data import Dataset

from svp.errors import InputError
from svp.training import run
from svp.training.loop import Task
from svp.training.options import TrainOptions

pytestmark = pytest.mark.long

TOLERANCE = 1e-9


class Doubles(Dataset[dict[str, Tensor]]):
    """The same samples in float64."""

    def __init__(self, samples: Dataset[dict[str, Tensor]]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        return {k: v.double() if v.is_floating_point() else v for k, v in self.samples[n].items()}


def train_in_float64(options: TrainOptions, out: Path, rank: int, processes: int, port: int) -> None:
    """One process of a run, with what `accelerate launch --cpu` tells it."""
    if processes > 1:
        os.environ |= {"ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    build = run._build_task

    def check_share(objective, inputs) -> None:
        share = options.batch_size // (options.accumulate * processes)
        assert not objective.training or len(inputs[0]["timestep"]) == share

    def double(*arguments, **named) -> Task:
        task = build(*arguments, **named)
        task.objective.double().register_forward_pre_hook(check_share)
        task.train, task.validation = Doubles(task.train), Doubles(task.validation)
        return task

    run._build_task = double
    run.train(options, out, resume=False, max_minutes=None)


def weights(model: Path) -> dict[str, Tensor]:
    return {
        f"{path.parent.name}.{name}": tensor.double()
        for path in model.rglob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


@pytest.fixture(scope="module")
def divided(tmp_path_factory, tiny_dataset, runs):
    """Weights after 20 steps of stage style, everything trained, by (processes, micro-batches)."""
    ways = [(1, 1), (1, 2), (2, 1), (2, 2)]
    root = tmp_path_factory.mktemp("divided")
    started = {}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for number, (processes, accumulate) in enumerate(ways):
        options = small_options(
            "style", tiny_dataset, runs["motion"], steps=20, batch_size=4, accumulate=accumulate, learning_rate=1e-3,
            ema_decay=0.9, warmup_steps=4, drop_each=0.1, validate_every=20, checkpoint_every=20,
        )  # fmt: skip
        out = root / f"{processes}x{accumulate}"
        started[processes, accumulate] = (
            out,
            [start_tiny(train_in_float64, options, out, rank, processes, port + number) for rank in range(processes)],
        )
    found = {}
    for way, (out, processes) in started.items():
        for process in processes:
            process.join()
            assert process.exitcode == 0, way
        found[way] = weights(out / "model")
    return found


@pytest.mark.parametrize(
    "way", [(1, 2), (2, 1), (2, 2)], ids=["micro-batches", "processes", "micro-batches of processes"]
)
def test_a_divided_batch_trains_what_the_whole_batch_does(divided, runs, way):
    whole, parts, start = divided[1, 1], divided[way], weights(runs["motion"])
    assert whole.keys() == parts.keys() == start.keys()
    assert all(name in start for name in whole)
    assert max(float((whole[name] - start[name]).abs().max()) for name in whole) > 1e-3
    assert max(float((whole[name] - parts[name]).abs().max()) for name in whole) <= TOLERANCE


def test_a_batch_that_cannot_be_divided_is_an_error(tiny_dataset, tmp_path):
    options = small_options("vae", tiny_dataset, None, batch_size=6, accumulate=4)
    with pytest.raises(InputError, match=r"--batch-size 6: 4 micro-batches on 1 processes need a multiple of 4"):
        run.train(options, tmp_path / "run", resume=False, max_minutes=None)
    assert not (tmp_path / "run").exists()
