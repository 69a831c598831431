"""Versions in the model repository. build, convert and import_onnx make a Candidate; writer.py publishes it.

In: a net or graph, its preprocessing and classes. Out: NAME/VERSION/ with graphs, weights and model.json, verified,
measured and written whole. Imports every other room but study and commands.
"""
