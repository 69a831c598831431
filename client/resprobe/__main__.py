"""The command `resprobe`; cli/commands/ has a file for each subcommand."""

from resprobe import _early

DESCRIPTION = """Classifies images with a resprobe server, and shows what each residual block did.

Examples:
  resprobe --version
  resprobe models
  resprobe classify cat.jpg dog.png
  resprobe blocks cat.jpg --plot blocks.svg
  resprobe inspect cat.jpg
  resprobe lesions --dataset digits
  resprobe page"""


def main() -> None:
    """Runs the command `resprobe`."""
    with _early.Heard("resprobe"):
        from resprobe.cli import app
        from resprobe.cli.commands.blocks import Blocks
        from resprobe.cli.commands.candidates.promote import Promote
        from resprobe.cli.commands.candidates.rollback import Rollback
        from resprobe.cli.commands.candidates.shadow import Shadow
        from resprobe.cli.commands.classify import Classify
        from resprobe.cli.commands.compare import Compare
        from resprobe.cli.commands.depth import Depth
        from resprobe.cli.commands.drift import Drift
        from resprobe.cli.commands.health import Health
        from resprobe.cli.commands.inspect import Inspect
        from resprobe.cli.commands.lesions import Lesions
        from resprobe.cli.commands.models import Models
        from resprobe.cli.commands.page import Page
        from resprobe.cli.commands.report import Report

        asking = Models, Classify, Blocks, Inspect, Depth, Lesions, Page, Report, Compare, Drift
        commands = *asking, Shadow, Promote, Rollback, Health
        app.main("resprobe", DESCRIPTION, commands)


if __name__ == "__main__":
    main()
