"""Figures with matplotlib: ratios in layer order, distributions, lesions.

In: frames, results and lesions. Out: matplotlib figures, or SVG and PNG files.
"""
