#!/bin/sh
# Make .venv with everything SVP needs. Called by every make target; quick when nothing changed.
#   PYTHON=python3.12        which interpreter (3.11 or 3.12)
#   TORCH_INDEX=URL          package index to take PyTorch from (PyPI's Linux build carries CUDA: several GB)
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 2; }

stamp=.venv/.svp-installed
wanted=$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

suits() { "$1" -c 'import sys; raise SystemExit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; }

python=${PYTHON:-}
if [ -n "$python" ]; then
    suits "$python" || fail "PYTHON=$python is not Python 3.11 or 3.12 ($("$python" --version 2>&1 | head -n 1)); give another one, or none"
else
    for candidate in python3.11 python3.12 python3; do
        if suits "$candidate"; then
            python=$candidate
            break
        fi
    done
fi
[ -n "$python" ] || fail "Python 3.11 or 3.12 is needed; install one (Debian 12: apt-get install python3 python3-pip) or set PYTHON=..."

if [ ! -x .venv/bin/python ]; then
    say "making .venv with $($python --version)"
    # Debian's python3 without python3-venv has no ensurepip: then the system's pip puts one in.
    $python -m venv .venv 2>/dev/null || {
        rm -rf .venv
        $python -m venv --without-pip .venv || fail "$python cannot make a virtual environment; install python3-venv"
        $python -m pip --python .venv/bin/python install --quiet pip || fail "no pip for $python; install python3-pip or python3-venv"
    }
fi

say "installing packages (a few minutes the first time)"
pip=".venv/bin/python -m pip install --quiet --disable-pip-version-check"
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    torch=$(grep '^torch==' constraints.txt)
    # shellcheck disable=SC2086
    $pip ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$torch" || fail "PyTorch could not be installed; see the lines above"
fi
$pip --constraint constraints.txt --editable ".[dev,speech,identity,lora,cluster,app]" || fail "packages could not be installed; see the lines above"

# OpenCV, which the landmark detector imports, is linked against the system's libGL and GLib.
.venv/bin/python -c 'import cv2' 2>/dev/null ||
    fail "OpenCV cannot be loaded; install its system libraries (Debian, Ubuntu: apt-get install libgl1 libglib2.0-0) and try again"
printf '%s' "$wanted" >"$stamp"
say "done"
