"""What the server did: counts by graph, sampled ratios, Prometheus metrics, OpenTelemetry traces.

In: events from other rooms, as plain numbers. Out: metrics and spans.
"""
