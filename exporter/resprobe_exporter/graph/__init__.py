"""Passes over ONNX graphs: find the residual additions, keep shortcuts in place, add the block statistics.

Each pass stands in a file of its own and says what it requires and ensures. Protobuf is read and written elsewhere.
"""
