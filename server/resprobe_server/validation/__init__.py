"""Checks before a version serves: digests, declarations, a trial run, and whether rows are independent.

In: a version's files and sessions. Out: what it can answer, or one sentence about why it cannot serve.
"""
