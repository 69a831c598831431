"""Names of classes: how those of a data set are found among those of a model, and those of ImageNet.

In: names. Out: their places among a model's, or the error that says which are missing.
"""

from resprobe._classes.matching import Match, match, nearest

__all__ = ["Match", "match", "nearest"]
