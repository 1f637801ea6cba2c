"""One loop, the stages as data."""
