"""Requests on their way to a graph: admitted within bounds, gathered into batches, and run by one thread per device.

In: inputs with a deadline and a promise. Out: each request's rows of the graph's outputs, or the reason why there are
none. May import execution, errors and the tracer.
"""
