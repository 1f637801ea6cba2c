"""Frame-level sound features (alpha)."""
