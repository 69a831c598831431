"""Trains residual and plain nets, or imports checkpoints and ONNX files, and writes verified ONNX models."""
