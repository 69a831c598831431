"""Comparison of written graphs with a reference, before anyone can load them.

In: the files of a draft, and what is expected of them. Out: nothing, or CheckFailed with what differs and by how much.
"""
