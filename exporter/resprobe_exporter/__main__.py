"""Entry point of the command `exporter`; its subcommands are in commands/."""

from resprobe import _early

DESCRIPTION = """Writes models for resprobe-server: trains nets, or imports checkpoints and ONNX files.

Examples:
  exporter build --depth 20
  exporter convert resnet56.th --name cifar56 --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
  exporter probe resnet50.onnx --mean 0.485 0.456 0.406 --std 0.229 0.224 0.225
  exporter quantize resnet56 --dataset cifar10 --data ~/cifar
  exporter inspect models/resnet20/1
  exporter study"""


def main() -> None:
    """Runs the command `exporter`."""
    with _early.Heard("exporter"):
        from resprobe.cli import app

        from resprobe_exporter.commands.build import Build
        from resprobe_exporter.commands.convert import Convert
        from resprobe_exporter.commands.inspect import Inspect
        from resprobe_exporter.commands.probe import Probe
        from resprobe_exporter.commands.quantize import Quantize
        from resprobe_exporter.commands.study import Study

        app.main("exporter", DESCRIPTION, (Build, Convert, Probe, Quantize, Inspect, Study))


if __name__ == "__main__":
    main()
