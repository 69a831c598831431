"""Messages and channels: the only room that knows protobuf and gRPC, apart from the clients and their base.

In: arrays and options. Out: request messages; results and exceptions from responses and statuses.
"""
