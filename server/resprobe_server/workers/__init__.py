"""A worker's place among others that serve the same port: what changes one of them changes all.

In: calls of clients. Out: the same calls to the other workers, over sockets that only they have, and a file with the
state for workers that are started anew. Imports models and errors; app and supervision import it.
"""
