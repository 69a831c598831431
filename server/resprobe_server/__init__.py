"""Serves residual nets over gRPC on ONNX Runtime: classes, and on request the magnitude of every block."""

import os

# gRPC reads this when it is imported. Without its own threads for reading from connections, that is done by the thread
# that asks for reports (rpc/server.py), which goes on with what it has read: a change of threads less for each call.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
