"""Weights that others published: where they come from, what they may be used for, how their files are read safely."""
