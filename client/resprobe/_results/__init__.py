"""Values that a client returns: what they hold, how they print, and how they become tables of other libraries.

In: arrays and plain values. Out: results, descriptions of models, tables, HTML. Imports no protobuf, no gRPC, no room.
"""
