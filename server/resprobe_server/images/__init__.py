"""Decodes pictures within limits, in threads or in processes that can be ended.

In: JPEG, PNG or WebP bytes or raw pixels, and the format that a model takes. Out: uint8 [n, height, width, channels].
May import config, errors, and the budget of scheduling.
"""
