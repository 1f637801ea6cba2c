"""Thousands of videos: a file of jobs, workers that load a model once, features made once, a manifest."""
