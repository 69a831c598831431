"""The protocol of this project: resprobe.v1.ResidualService, with typed images, classes and block statistics.

In: ClassifyRequest and the messages about models. Out: their responses.
"""
