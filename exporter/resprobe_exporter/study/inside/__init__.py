"""Inside one residual net of a study: what is read off after each block, and what the removal of each costs.

In: a trained net and images. Out: `Inside`, which a record keeps: how readouts develop, and how cheap statistics of
blocks go with the cost of their removal. Imports readouts, training and nets; only the study's experiment and record
import it, and its questions read what it found.
"""

from resprobe_exporter.study.inside.findings import Correlation, Decisions, Inside
from resprobe_exporter.study.inside.measure import Counts, measure_inside

__all__ = ["Correlation", "Counts", "Decisions", "Inside", "measure_inside"]
