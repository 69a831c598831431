"""ONNX Runtime: sessions, execution providers, datatypes and outputs of graphs. The only room that imports onnxruntime.

In: arrays by input name. Out: arrays by output name. May import config, errors and text.
"""
