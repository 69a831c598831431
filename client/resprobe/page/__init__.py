"""The live page: a small web server that is itself a client, so that tokens and gRPC stay on its side.

What arrives is HTTP from browsers, which is not trusted (guard.py); what leaves is JSON of answers, and the files in
static/, which fetch nothing from any other host. Needs the extra `page`; `resprobe page` runs it.
"""
