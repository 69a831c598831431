"""One ONNX graph pass a file: each docstring says what it requires and ensures.

In and out: an onnx_ir.Model, changed in place. Imports graph's rules and utilities.
"""
