"""ONNX graphs: how residual additions are found, and passes that add block statistics and block scales.

In: a torch net or an onnx-ir graph. Out: the lean graph, and those that passes make of it (variants.py). Imports nets.
"""
