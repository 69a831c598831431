"""Trains residual and plain nets, or takes existing checkpoints, and writes checked ONNX models for the server."""
