"""Requests on their way to a graph: bounded, gathered into batches, and run one batch at a time on a device.

In: requests with their inputs and deadlines. Out: each one's rows of what the graph returned. Imports execution.
"""
