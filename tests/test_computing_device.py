"""Which card a command computes on, and how many workers share the cards out; without any, as before."""

from typing import Any

import pytest
import torch

from svp.cores import CORES
from svp.device import computing_device, default_workers
from svp.workers import NUMBER, _Processes


@pytest.fixture()
def three_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


def test_workers_share_the_cards_out(three_cards: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NUMBER, raising=False)
    assert computing_device() == torch.device("cuda", 0) and default_workers() == 3
    for number, card in (("1", 1), ("2", 2), ("3", 0)):
        monkeypatch.setenv(NUMBER, number)
        assert computing_device() == torch.device("cuda", card)


def test_without_cards_the_processors_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(NUMBER, "5")
    assert computing_device() == torch.device("cpu") and default_workers() == CORES


def test_a_lost_workers_number_goes_to_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    class Process:
        def __init__(self, *_: Any, env: dict[str, str], **__: Any) -> None:
            begun.append(env[NUMBER])

    monkeypatch.setattr("svp.workers.ProcessPoolExecutor", Process)
    processes = _Processes()
    first, second, third = (processes.take(1) for _ in range(3))
    processes.lose(second)
    processes.give_back(third)
    assert processes.take(1) is third and processes.take(1) not in (first, second, third)
    assert begun == ["0", "1", "2", "1"]
