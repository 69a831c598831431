"""`resprobe classify`."""

from dataclasses import dataclass

from resprobe.cli import exits, tables
from resprobe.cli.options import Files, Preprocessed, console, print_notes
from resprobe.cli.pictures import ask
from resprobe.errors import InvalidRequest


@dataclass(frozen=True)
class Classify(Preprocessed):
    """Classify pictures: JPEG, PNG, WebP or BMP files.

    A damaged file is named on standard error, and the other files are classified; the exit code is then 1.

    Examples:
      resprobe classify cat.jpg dog.png
      resprobe classify *.png --model resnet110 --top-k 1 --json
      resprobe classify *.png --model resnet110 --exit 0.99
      curl -s https://example.org/cat.jpg | resprobe classify - --model resnet110/2
    """

    images: Files = ()
    """Picture files to classify; - reads one picture from standard input."""
    top_k: int = 3
    """Number of classes to show for each picture."""
    exit: float | None = None
    """Threshold of an early exit, above 0, at most 1: a picture leaves the net where the probability of its best class
    is over it, which saves time. Needs a version that was written with --exits. Default: the whole net answers."""

    def run(self) -> None:
        """Asks the server and prints the classes."""
        if not self.images:
            raise InvalidRequest("no images were given; see resprobe classify --help")
        with self.client() as client:
            answers = ask(
                client,
                self.images,
                self.model,
                self.version,
                self.top_k,
                exit=self.exit,
                preprocess=self.preprocess,
            )
        if self.json:
            rows = tables.classes_json(answers.sources, answers.result, answers.model.classes)
            left = exits.left_after(answers.result, answers.model)
            self.show([{**row, "left_after": name} for row, name in zip(rows, left, strict=True)] if left else rows)
        else:
            console.print(tables.classes_table(answers.sources, answers.result, answers.model.classes))
            print_notes([*answers.notes, *exits.notes(answers.result, answers.model)])
        answers.check()
