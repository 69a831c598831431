"""Files made elsewhere: checkpoints, ONNX models and class names, read and brought into our form.

In: a path. Out: weights with the architecture that they fit, or a graph that the passes can work on; else an error of
one sentence. Imports nets, graph and, to run ONNX files, verification.
"""
