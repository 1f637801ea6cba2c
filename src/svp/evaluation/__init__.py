"""How good generated videos are: metrics, each in one file, and the report that puts systems side by side."""
