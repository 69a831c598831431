"""Served models beside each other on any images: how large F(x) is beside s(x), in ResNets, ViTs and others.

In: a client of a server, names of models, images. Out: ServedStudy, as a page, JSON and Parquet tables. It trains
nothing. measure.py asks the server; ratios.py and tokens.py answer, drawn by figures.py; results.py writes the answers.
Imports the client, and of the study the form of answers, the rule of verdicts and the page.
"""

from resprobe_exporter.study.served.measure import find_pictures, measure
from resprobe_exporter.study.served.results import ServedStudy, prepare

__all__ = ["ServedStudy", "find_pictures", "measure", "prepare"]
