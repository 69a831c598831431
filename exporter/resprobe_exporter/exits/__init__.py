"""Early exits: a written net is cut into parts, and a head at the end of each but the last is fitted to read classes.

In: the directory of a draft and labelled training images. Out: exit.0.onnx, exit.1.onnx and so on, compared with the
lean graph, and what a threshold does to accuracy and speed. Imports graph, readouts, training and verification;
versions and commands import it.
"""
