"""Calls, straight on gRPC's core.

In: bytes and metadata of calls. Out: their requests to the method that answers them, and statuses and responses back.
Imports errors, texts, and leaves of other rooms; never services, models or graphs.
"""
