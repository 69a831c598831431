"""Benchmarks of several versions and several servers; run them in benchmarks/ as modules: `python -m fleet.shadow`."""
