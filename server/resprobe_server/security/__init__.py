"""Who is connected and what they may do: tokens with rights, TLS, and files that are read again when they change.

In: calls, and the files that the operator wrote. Out: Unauthorized, or the caller and their rights.
"""
