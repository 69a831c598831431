"""The command `resprobe`: how it starts and fails, its shared options and tables; each command in commands/.

In: arguments. Out: tables, JSON and files. Imports every room; no room imports it.
"""
