"""The style-driven diffusion process: networks, sampling, pipeline."""
