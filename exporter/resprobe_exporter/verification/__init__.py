"""Comparison of written graphs with their source, before a server can load them.

In: an oracle and the directory of a draft. Out: nothing, or CheckFailed with what differs and by how much. Imports
nets and graph.
"""
