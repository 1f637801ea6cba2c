"""Prepared data sets and how they are made."""
