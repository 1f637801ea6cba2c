"""scripts/setup.sh: what it says before it installs anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("version", [None, "3.9.2"])
def test_an_unsuitable_python_is_refused_even_if_another_would_do(version, tmp_path):
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "old-python"
    if version is not None:
        python.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit 1\n')
        python.chmod(0o755)
    result = subprocess.run(
        ["sh", tmp_path / "scripts/setup.sh"],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert f"PYTHON={python} is not Python 3.11 or 3.12" in result.stderr
    assert version is None or version in result.stderr
    assert not (tmp_path / ".venv").exists()
