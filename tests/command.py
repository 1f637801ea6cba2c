"""`svp` in this process."""

import io
import logging
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import pytest

from svp import cli
from svp.weights import terms


def svp(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What the command says and its exit code, without the seconds until a process of its own has imported."""
    command = ["svp", *map(str, arguments)]
    terms._tell.cache_clear()
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", command),
        warnings.catch_warnings(),
        mock.patch.multiple(logging.getLogger("svp"), handlers=[], propagate=True),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main()
    return subprocess.CompletedProcess(command, int(ended.value.code or 0), out.getvalue(), err.getvalue())
