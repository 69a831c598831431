"""HTML pages that need no network: the report on a frame, and the comparison of two models.

In: a frame or a comparison. Out: HTML. Imports analysis and plots.
"""
