"""What training reports while it runs: loss, accuracy and speed, and what each layer did."""

from collections.abc import Mapping
from dataclasses import dataclass

from resprobe_exporter.training.evaluation import Score


@dataclass(frozen=True)
class Layers:
    """What the layers did in one step, by layer name in layer order, on this process's share of the batch.

    Attributes:
        gradient_norms: L2 norm of the gradient of each weighted layer's weight.
        response_std: Standard deviation of each 3×3 layer's response; `hooks.Responses` defines it.
        ratios: ‖F(x)‖ / ‖s(x)‖ of each residual block, mean over the images.
    """

    gradient_norms: Mapping[str, float]
    response_std: Mapping[str, float]
    ratios: Mapping[str, float]


@dataclass(frozen=True)
class Progress:
    """State of a training run after one of its steps.

    Attributes:
        epoch: Epoch of the step, counted from 0.
        step: Steps done, over all epochs.
        steps: Steps of the whole run.
        loss: Mean cross-entropy in nats over the epoch so far.
        accuracy: Share of images classified as labelled over the epoch so far.
        rate: Images/s in this epoch, since training began or was resumed.
        left: Seconds until training ends at this rate.
        learning_rate: Learning rate of the step.
        last: Whether this is the last step of an epoch.
        validation: Score on the held-out images. If None, no images are held out, or the epoch has not ended.
        layers: What the layers did in the step. If None, the step was not recorded.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    rate: float
    left: float
    learning_rate: float
    last: bool
    validation: Score | None = None
    layers: Layers | None = None
