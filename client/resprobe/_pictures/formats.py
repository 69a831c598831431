"""Formats of picture files: the one list for folders, for training, for the commands and for servers.

A server decodes few formats, because each decoder is a risk. Clients read the others themselves and send them as PNG,
which loses nothing.
"""

SERVED = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",)}  # Pillow's names, and suffixes of files
BEGINNINGS = {"BMP": b"BM"}  # of files that a server does not decode
ALL = {**SERVED, "BMP": (".bmp",)}
SUFFIXES = frozenset(suffix for suffixes in ALL.values() for suffix in suffixes)
NAMES = "JPEG, PNG, WebP or BMP"
