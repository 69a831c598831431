"""Checkpoints made elsewhere: their files, the weights in them, and the architecture that these are of.

In: a path. Out: weights by our names and what names and shapes tell of their net; else an error of one sentence.
Imports nets. Checkpoints of trainings here are in training.
"""
