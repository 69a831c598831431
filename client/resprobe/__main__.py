"""The command `resprobe`. What its subcommands do is in commands/."""

from resprobe import early

DESCRIPTION = """Classifies images with a resprobe server, and shows what each residual block did.

Examples:
  resprobe models
  resprobe classify cat.jpg dog.png
  resprobe blocks cat.jpg --plot blocks.svg
  resprobe lesions --dataset digits"""


def main() -> None:
    """Entry point of the command `resprobe`."""
    with early.Heard("resprobe"):
        from resprobe import _command
        from resprobe.commands.blocks import Blocks
        from resprobe.commands.classify import Classify
        from resprobe.commands.compare import Compare
        from resprobe.commands.drift import Drift
        from resprobe.commands.health import Health
        from resprobe.commands.lesions import Lesions
        from resprobe.commands.models import Models
        from resprobe.commands.report import Report

        _command.main("resprobe", DESCRIPTION, (Models, Classify, Blocks, Lesions, Report, Compare, Drift, Health))


if __name__ == "__main__":
    main()
