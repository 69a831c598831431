"""ONNX Runtime: sessions, execution providers, tensors and outputs. The only room that imports onnxruntime.

In: arrays by input name. Out: arrays by output name. Imports nothing of the server but errors and texts.
"""
