"""Metrics and traces for operators: Prometheus and OpenTelemetry.

In: counters of graphs and calls, and the events of the tracer protocol. Out: metrics over HTTP, and spans. May import
every room below the services; only app imports it.
"""
