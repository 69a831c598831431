"""Subcommands of `exporter`, a file each: options and their help, and what is printed.

In: the command line. Out: a line or JSON. Everything heavy is imported when a command runs.
"""
