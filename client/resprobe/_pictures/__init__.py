"""Picture files and arrays on the user's side: formats, folders, and how many go into one request.

In: paths, arrays, bytes or PIL images. Out: what a request carries. Knows no protobuf.
"""
