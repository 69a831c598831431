"""The model repository: versions found on disk, loaded, checked, and served under a name and a number.

In: the repository's directory. Out: versions whose graphs run, and the state of all others. May import execution,
scheduling, images (their format), validation, config, memory and errors.
"""
