"""The subcommands of `resprobe`, a file each: the fields of a frozen dataclass are its options, `run` runs it."""
