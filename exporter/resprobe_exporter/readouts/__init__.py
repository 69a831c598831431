"""Linear heads that read classes off blocks before the last stage, fitted by scikit-learn when a version is written.

In: a lean graph and labelled training images. Out: weights for inspect.onnx, and how they were found. Imports graph,
training and verification; versions, commands and the study import it.
"""
