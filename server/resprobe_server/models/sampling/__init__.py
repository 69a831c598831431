"""Ratios of blocks, sampled from the images that are served: histograms, and whether they have drifted."""
