"""A supervisor and its workers: processes that serve one port together; dead ones are started anew.

In: the configuration. Out: worker processes, each a whole server (app.py), and the metrics of all of them as one. The
kernel spreads connections over the workers (SO_REUSEPORT). Imports app, observability and workers; only command
imports it.
"""
