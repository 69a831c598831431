"""Serves residual nets over gRPC on ONNX Runtime: classes, and on request the magnitude of every block."""
