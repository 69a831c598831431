"""Two graphs on the same labelled images: accuracy and loss of both, how they differ, and how often they agree."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from resprobe_protos.contract import LOGITS

from resprobe_exporter.verification.ort import Graph
from resprobe_exporter.versions.evaluation import cross_entropy

NORMAL = 1.96  # standard deviations on either side of 95 % of a normal distribution


@dataclass(frozen=True, eq=False)
class Answers:
    """Results of one graph on labelled images.

    Attributes:
        loss: Mean cross-entropy in nats.
        classes: Best class of each image, [n].
        right: Whether it is the label, [n].
    """

    loss: float
    classes: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """Share of images that are classified as labelled."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Change:
    """A change of accuracy on the same images.

    Attributes:
        accuracy: Accuracy after, less accuracy before.
        lower: Lower end of the 95 % interval of the change.
        upper: Upper end.
        agreement: Share of images that both graphs give the same class.
    """

    accuracy: float
    lower: float
    upper: float
    agreement: float


def answer(lean: ir.Model, name: str, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Answers:
    """Runs a graph.

    Args:
        lean: The graph, with its weights in memory.
        name: Name of the graph in errors.
        images: Images, uint8 [n, height, width, channels].
        labels: Places of the right classes among the graph's, [n].
    """
    graph = Graph(ir.to_proto(lean).SerializeToString(), name)
    logits = np.concatenate([output[LOGITS] for output in graph.run_batches(images)]).astype(np.float64)
    classes = logits.argmax(axis=1)
    return Answers(cross_entropy(logits, labels), classes, classes == labels)


def compare(before: Answers, after: Answers) -> Change:
    """Compares the answers of two graphs for the same images.

    The interval is that of Agresti and Min (2005): the normal one of paired shares, with half an image added to each
    of the four outcomes, so that it has a width where no answer differs.
    """
    lost = float(np.sum(before.right & ~after.right)) + 0.5
    gained = float(np.sum(~before.right & after.right)) + 0.5
    count = len(before.right) + 2
    middle = (gained - lost) / count
    width = NORMAL * np.sqrt(max(gained + lost - (gained - lost) ** 2 / count, 0.0)) / count
    change = after.accuracy - before.accuracy
    agreement = float((before.classes == after.classes).mean())
    return Change(change, float(middle - width), float(middle + width), agreement)
