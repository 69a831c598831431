"""Labels of classes from the command line."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from resprobe._classes import imagenet, match

from resprobe_exporter import progress
from resprobe_exporter.errors import ExporterError

IMAGENET = "imagenet"


def read_labels(text: str) -> tuple[str, ...]:
    """Reads labels from a file with one on each line, or from a,b,c; `imagenet` means the 1,000 of ImageNet.

    Raises:
        ExporterError: There are fewer than two, or one twice; or the file is not UTF-8.
    """
    if text == IMAGENET:
        return tuple(imagenet.names().values())
    path = Path(text)
    parts = _read(path).splitlines() if _is_file(path) else text.split(",")
    labels = tuple(label for part in parts if (label := part.strip()))
    if len(labels) < 2:
        raise ExporterError(f"--classes {text}: expected a file with one label on each line, or a,b,c")
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        where = " and ".join(str(place + 1) for place, label in enumerate(labels) if label == repeated[0])
        raise ExporterError(f"--classes {text}: label {repeated[0]!r} is there twice ({where}); expected each once")
    return labels


def choose(
    names: tuple[str, ...] | None,
    count: int,
    what: str,
    data_set: tuple[str, Sequence[str]] | None,
    is_imagenet: bool = False,
) -> tuple[str, ...]:
    """Chooses the names of a net's classes, and checks that the classes of a data set are among them.

    Args:
        names: Names that were given. If None, those of the data set or, without one, numbers.
        count: Number of classes of the net.
        what: Name of the net in errors.
        data_set: Name and classes of the data set to measure with. If None, there is none.
        is_imagenet: Whether the net sees pictures as those of ImageNet do; a net of 1,000 classes then has their names.

    Raises:
        ExporterError: There are more or fewer names than classes.
        InvalidRequest: The net lacks classes of the data set.
    """
    others = data_set is not None and len(data_set[1]) == count and not imagenet.are_wordnet_ids(data_set[1])
    if names is None and is_imagenet and count == len(imagenet.names()) and not others:
        names = read_labels(IMAGENET)
        progress.note("classes are called as those of ImageNet, as there are 1,000; --classes gives others")
    if names is None and data_set is not None:
        name, classes = data_set
        check_count(tuple(classes), count, f"{what}, for which --classes names none,", f"the data set {name}")
        progress.note(f"classes are called as those of {name}, in their order: {classes[0]!r} first")
        return tuple(classes)
    if names is None:
        progress.note(f"classes have no names (--classes gives some): they are called 0 to {count - 1}, by position")
        return tuple(map(str, range(count)))
    check_count(names, count, what)
    if data_set is not None and (note := match(data_set[1], names, "the data set").note):
        progress.note(note)
    return names


def check_count(labels: tuple[str, ...], count: int, what: str, whose: str = "--classes") -> None:
    """Raises ExporterError unless there are as many labels as `what` has classes."""
    if len(labels) != count:
        raise ExporterError(f"{what} has {count} classes, and {whose} names {len(labels)}; expected one for each class")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a list of labels may be too long for the name of a file
        return False


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # Windows' "Unicode"
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ExporterError(
            f"--classes {path}: line {line} is not UTF-8, and names would be guessed; make it so, for example by "
            f"iconv -f LATIN1 -t UTF-8 {path}"
        ) from error
    except OSError as error:
        raise ExporterError(f"--classes {path} cannot be read: {error.strerror}") from error
