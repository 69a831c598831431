"""The model repository: what is found on disk, loaded, and served under a name and version.

In: the repository's directory. Out: versions whose graphs have passed validation, and the state of all others.
"""
