"""Arithmetic that the device has."""

import pytest
import torch
from tiny_training import small_options

from svp.errors import InputError
from svp.training.device import mixed_precision
from svp.training.run import train

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_takes_bf16_where_a_gpu_has_it_itself(monkeypatch, has_bf16):
    monkeypatch.setattr(
        "torch.cuda.is_bf16_supported", lambda including_emulation=True: has_bf16 or including_emulation
    )
    assert mixed_precision("auto", GPU) == ("bf16" if has_bf16 else "no")
    assert mixed_precision("auto", CPU) == "no"


def test_what_is_asked_for_is_taken():
    assert [mixed_precision(p, GPU) for p in ("fp32", "bf16", "fp16")] == ["no", "bf16", "fp16"]
    assert mixed_precision("bf16", CPU) == "bf16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_without_a_gpu_is_refused_before_anything_is_written(tiny_dataset, tmp_path):
    with pytest.raises(InputError, match=r"--precision fp16: needs a GPU .* use --precision bf16 or fp32"):
        train(
            small_options("vae", tiny_dataset, None, precision="fp16"), tmp_path / "run", resume=False, max_minutes=None
        )
    assert not (tmp_path / "run").exists()
