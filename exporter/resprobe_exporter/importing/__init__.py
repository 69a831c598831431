"""ONNX models made elsewhere, read and brought into our form.

In: a path. Out: a graph that the passes can work on; else an error of one sentence. Imports nets, graph and, to
run ONNX files, verification.
"""
