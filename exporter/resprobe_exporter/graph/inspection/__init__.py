"""Passes that make inspect.onnx of a graph: norms at every position and in every channel, readouts, activation maps.

In: a lean graph and the axes of its blocks. Out: more outputs, each small. Imports the other modules of graph; only
variants.py and the room readouts import it.
"""
