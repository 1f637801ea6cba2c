"""The loop against a plain one in float64: Adam, clipping, schedule, moving averages, accumulation, validation."""

import pytest
import torch
from accelerate.state import AcceleratorState
from tiny_training import logged, small_options
from torch import Tensor, nn
from torch.utils.data import Dataset

from svp.training.loop import Task, run_stage

STEPS, BATCH, RATE, CLIP, DECAY, WARMUP = 7, 4, 0.1, 0.05, 0.6, 2


class Points(Dataset[dict[str, Tensor]]):
    """Item n follows from n; a target that is a line of it."""

    def __init__(self, count: int, first: int = 0) -> None:
        self.count, self.first = count, first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        x = torch.randn(3, generator=torch.Generator().manual_seed(self.first + n), dtype=torch.float64)
        return {"x": x, "y": (2 * x[:1] - x[1:2]).sin()}


class Fit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1, dtype=torch.float64)
        with torch.no_grad():
            self.line.weight.copy_(torch.tensor([[0.3, -0.2, 0.5]]))
            self.line.bias.zero_()

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss = (self.line(batch["x"]) - batch["y"]).square().mean()
        return loss, {"loss": loss.detach()}


def plain_loop() -> tuple[list[float], list[Tensor], list[float]]:
    """Losses, averaged parameters and the validation losses of these after steps 3, 6 and 7, written out."""
    fit, points, held_out = Fit(), Points(STEPS * BATCH), Points(5, first=1000)
    parameters = list(fit.parameters())
    first, second, average = ([torch.zeros_like(p) for p in parameters] for _ in range(3))
    average = [p.detach().clone() for p in parameters]
    losses, validation = [], []

    def stack(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.stack([item[name] for item in items]) for name in items[0]}

    for step in range(1, STEPS + 1):
        loss = fit(stack([points[n] for n in range((step - 1) * BATCH, step * BATCH)]))[0]
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.sqrt(sum(g.square().sum() for g in gradients))
        rate = RATE * min((step - 1) / WARMUP, 1.0)
        decay = min(1 - (1 + (step - 1)) ** -0.75, DECAY) if step > 1 else 0.0
        with torch.no_grad():
            for p, g, m, v, a in zip(parameters, gradients, first, second, average, strict=True):
                g = g * min(CLIP / (norm + 1e-6), 1.0)
                m += 0.1 * (g - m)
                v += 0.001 * (g.square() - v)
                p -= rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
                a += (1 - decay) * (p - a)
            if step in (3, 6, 7):
                line = nn.functional.linear(stack([held_out[n] for n in range(5)])["x"], *average)
                validation.append(float((line - stack([held_out[n] for n in range(5)])["y"]).square().mean()))
    return losses, average, validation


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_the_loop_does_what_a_plain_one_does(accumulate, tiny_dataset, tmp_path):
    fit = Fit()
    options = small_options(
        "vae", tiny_dataset, None, steps=STEPS, batch_size=BATCH, accumulate=accumulate, learning_rate=RATE,
        max_grad_norm=CLIP, ema_decay=DECAY, warmup_steps=WARMUP, validate_every=3,
    )  # fmt: skip
    AcceleratorState._reset_state()
    task = Task(fit, list(fit.parameters()), Points(STEPS * BATCH), Points(5, first=1000))
    assert run_stage(task, options, tmp_path, max_minutes=None) == STEPS
    losses, average, validation = plain_loop()
    assert logged(tmp_path, "train/loss") == [(n + 1, pytest.approx(x, rel=1e-6)) for n, x in enumerate(losses)]
    steps = zip((3, 6, 7), validation, strict=True)
    assert logged(tmp_path, "validation/loss") == [(step, pytest.approx(x, rel=1e-6)) for step, x in steps]
    for ours, wanted in zip(fit.parameters(), average, strict=True):
        torch.testing.assert_close(ours.detach(), wanted, atol=1e-12, rtol=0)
