"""The RPC services: each turns messages into requests for graphs, and outcomes into messages.

In: messages of resprobe.v1, the Open Inference Protocol and grpc.health.v1. Out: their responses. Imports every room
but app; nothing except app imports a service.
"""
