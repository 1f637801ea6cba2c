"""Landmarks, crops, head key points and expression coefficients of faces."""
