"""Weights that others published: where they come from, what they may be used for, how their files are read safely."""

from svp.weights.deep3d import load_deep3d
from svp.weights.i3d import load_i3d
from svp.weights.inception import load_inception
from svp.weights.styletalk import load_styletalk
from svp.weights.syncnet import load_syncnet

__all__ = ["load_deep3d", "load_i3d", "load_inception", "load_styletalk", "load_syncnet"]
