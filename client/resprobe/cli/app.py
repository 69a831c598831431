"""How the three programs start and how they fail: one line for a person, exit code 1, no traceback for user errors."""

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from inspect import cleandoc
from typing import Annotated, Any, NoReturn, Protocol, Union

import tyro
from rich.console import Console

from resprobe import _early
from resprobe.cli import form, signals
from resprobe.errors import Error

# Extra that installs each package that the base installation leaves out.
EXTRAS = {
    "grpc_reflection": "server",
    "jinja2": "report",
    "matplotlib": "report",
    "onnx": "exporter",
    "onnx_ir": "exporter",
    "onnxruntime": "server",
    "onnxscript": "exporter",
    "opentelemetry": "trace",
    "prometheus_client": "server",
    "pyarrow": "report",
    "ray": "ray",
    "safetensors": "exporter",
    "scipy": "report",
    "sklearn": "digits",
    "tomli_w": "server",
    "starlette": "page",
    "structlog": "server",
    "tensorboard": "tensorboard",
    "torch": "exporter",
    "uvicorn": "page",
    "uvloop": "server",
    "watchfiles": "server",
}


class Command(Protocol):
    """A frozen dataclass whose fields are the options and whose docstring is the help.

    Where exit code 1 is an answer, as with `resprobe drift`, the class names the exit code of a failure as `FAILED`.
    """

    def run(self) -> None:
        """Runs the command. Raises resprobe.Error for what a user can mend."""


@dataclass(frozen=True)
class Version:
    """Show the version, with `--version` as the only argument of any program."""

    prog: str

    def run(self) -> None:
        """Prints the program and its version."""
        print(self.prog, version("resprobe"))


def main(
    prog: str,
    description: str,
    commands: Sequence[type[Command]],
    arguments: Sequence[str] | None = None,
    default: Command | None = None,
) -> None:
    """Parses the command line, runs the command and turns what it raises into an exit code.

    Args:
        prog: Name of the program, as the user types it.
        description: Purpose of the program, and examples.
        commands: Classes of the subcommands, which are named like the classes. If there is only one, its options are
            the program's.
        arguments: Command line without the program. If None, sys.argv[1:].
        default: Values of the options that are not given, where there is only one command.

    Raises:
        SystemExit: 0 after --help, 1 (or the command's FAILED) if it failed, 2 if the command line is wrong, 130 after
            Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    with signals.Interrupts(prog) as interrupts:
        try:
            _run(prog, description, commands, arguments, default, interrupts)
        except KeyboardInterrupt:
            interrupts.say()
            raise SystemExit(_early.CODE) from None
        finally:
            signals.drop_output()


def _run(
    prog: str,
    description: str,
    commands: Sequence[type[Command]],
    arguments: Sequence[str],
    default: Command | None,
    interrupts: signals.Interrupts,
) -> None:
    failed = _failure_code(commands, arguments)
    try:
        version_only = list(arguments) == ["--version"]
        command = Version(prog) if version_only else _parse(prog, description, commands, arguments, default)
        if sys.stdout is None and default is None:  # closed by the caller
            raise Error("standard output is closed; expected it to be open, or > /dev/null")
        try:
            command.run()
        except Exception:
            interrupts.check()
            raise
        interrupts.check()
        if sys.stdout is not None:
            sys.stdout.flush()
    except Error as error:
        fail(prog, str(error), failed)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(package)
        if extra is None:
            raise
        fail(prog, f"this needs the package {package}: pip install 'resprobe[{extra}]'", failed)
    except BrokenPipeError:  # the reader of our output, for example `head`, has seen enough
        raise SystemExit(failed) from None
    except OSError as error:
        what = "the output" if error.filename is None else str(error.filename)
        fail(prog, f"{what} cannot be used: {error.strerror or error}", failed)
    except Exception:
        if failed == 1:
            raise
        traceback.print_exc()  # Python's own exit code, 1, is an answer of this command
        raise SystemExit(failed) from None


def _failure_code(commands: Sequence[type[Command]], arguments: Sequence[str]) -> int:
    """Returns the exit code of a failure of the chosen command, whether it runs or shows its help."""
    chosen = [command for command in commands if command.__name__.lower() in arguments[:1]]
    return int(getattr(chosen[0], "FAILED", 1)) if chosen else 1


def fail(prog: str, message: str, code: int = 1) -> NoReturn:
    """Prints why on standard error and exits."""
    Console(stderr=True, soft_wrap=True).print(f"{prog}: {message}", markup=False, highlight=False)
    raise SystemExit(code)


def _parse(
    prog: str,
    description: str,
    commands: Sequence[type[Command]],
    arguments: Sequence[str],
    default: Command | None,
) -> Command:
    configuration: list[Any] = [tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName]
    options: dict[str, Any] = {"prog": prog, "description": description, "args": arguments, "registry": form.registry()}
    if default is None:
        configuration.append(tyro.conf.FlagCreatePairsOff)
    else:  # a flag may already be on: then --flag must still be right, and --no-flag possible
        options["default"] = default
    if len(commands) == 1:
        shape: Any = commands[0]
    else:
        shape = Union[tuple(_subcommand(command, arguments) for command in commands)]  # noqa: UP007
    parsed: Command = tyro.cli(shape, config=configuration, **options)
    return parsed


def _subcommand(command: type[Command], arguments: Sequence[str]) -> Any:
    """Describes a command by the first line of its docstring in the list of commands, and by all of it in its help."""
    name, text = command.__name__.lower(), cleandoc(command.__doc__ or "")
    if name not in arguments[:1]:
        text = text.partition("\n")[0]
    return Annotated[command, tyro.conf.subcommand(name, description=form.joined(text))]
