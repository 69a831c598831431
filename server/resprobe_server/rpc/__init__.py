"""Calls, straight on gRPC's core.

In: bytes and metadata of calls. Out: their requests to the method that answers them, and statuses and responses back.
Imports the configuration, errors, texts and principals; never services, models or graphs.
"""
