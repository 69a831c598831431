"""The subcommands of `resprobe`: a file each; a frozen dataclass is its options, and `run` does it."""
