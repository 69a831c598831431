"""Access: tokens with rights, TLS, and files that are read again when they change.

In: calls, and the files that the operator wrote. Out: a principal with its rights, or the reason of a refusal.
Imports the configuration, errors, and the context of a call.
"""
