"""The subcommands of `exporter`: a file each. Everything heavy is imported when one runs."""
