"""Sampled from the images that are served: ratios of blocks, whether they have drifted, and prediction depth."""
