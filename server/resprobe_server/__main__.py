"""The command `resprobe-server`. What it does is in command.py."""

from resprobe import _early


def main() -> None:
    """Entry point of the command `resprobe-server`."""
    with _early.Heard("resprobe-server"):
        from resprobe_server import command

        command.main()


if __name__ == "__main__":
    main()
