"""Versions with fewer bits: int8 and float16 nets of a float32 version, and what they cost, block by block.

In: a version, settings, images to calibrate on and to test with. Out: a candidate, which versions/writer.py writes. It
imports graph passes, verification and versions; only its command imports it.
"""
