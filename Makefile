# Every target first makes .venv (scripts/setup.sh) and works inside it.
.PHONY: help setup demo test check bench clean

help:  ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1: /'

setup:
	@sh scripts/setup.sh

demo: setup  ## a portrait, a sentence and two styles become outputs/demo.mp4 and outputs/demo.png
	@.venv/bin/python scripts/demo.py

test: setup  ## all tests, on two processes
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup  ## format, lint and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

bench: setup  ## how near the networks come to the limit of this machine (all benchmarks: python -m benchmarks all)
	@.venv/bin/python -m benchmarks

clean:  ## remove .venv, caches and outputs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache outputs
