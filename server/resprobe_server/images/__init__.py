"""Encoded pictures to pixels, within limits, in threads or in processes that can be ended.

In: JPEG, PNG or WebP bytes, and the format that a model takes. Out: uint8 [n, height, width, channels].
"""
