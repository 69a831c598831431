"""Engines of sweeps: what a model answered to images, asked from this process or by the actors of a Ray cluster.

In come images that fit a model, out come their answers in the same order, and the same to the last bit: an actor asks
for its part of the images just as one process asks for all of them.
"""
