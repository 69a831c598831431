"""Entry point of the command `resprobe-server`; command.py has its options."""

from resprobe import _early


def main() -> None:
    """Runs the command `resprobe-server`."""
    with _early.Heard("resprobe-server"):
        from resprobe_server import command

        command.main()


if __name__ == "__main__":
    main()
