"""Serves residual nets over gRPC on ONNX Runtime: classes, and on request the magnitude of every block."""

import os

# gRPC reads this when it is imported. It then starts no threads of its own that read from connections: the thread that
# polls for events (rpc/server.py) reads, and handles what it has read, which saves a change of threads for each call.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
