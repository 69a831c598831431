"""Names of a net's classes: from the command line, of a data set, or those of ImageNet.

In: what was given, and the number of classes. Out: a name for each. Imports progress, and the
client's names and matching.
"""
