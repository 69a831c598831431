"""New versions in the model repository: built, converted or imported; verified, measured, described, published whole.

In: a net or graph, its preprocessing and classes. Out: NAME/VERSION/ with graphs, weights and model.json.
"""
