"""`python -m svp.cli` is `svp`."""

from svp.cli import main

main()
