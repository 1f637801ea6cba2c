"""Read and write video, sound and pictures."""
