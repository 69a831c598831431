"""Checks of a version before it serves: digests, declarations, a trial run, independent rows; and speed in fewer bits.

In: a version's files and sessions. Out: the requests that it can answer, or one sentence about why it cannot serve.
May import execution, the format of images, and errors.
"""
