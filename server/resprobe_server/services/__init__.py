"""The RPC services: each turns messages into requests for graphs, and outcomes into messages.

In: messages of resprobe.v1, the Open Inference Protocol and grpc.health.v1. Out: their responses. May import every room
below it and the leaves of rpc and security; only app imports a service.
"""
