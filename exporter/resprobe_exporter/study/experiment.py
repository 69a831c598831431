"""One net of a study: trains or takes it, and measures all that the questions need."""

import copy
import functools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from resprobe import datasets
from torch import Tensor, nn
from torch.nn import functional

from resprobe_exporter.importing import state_dict
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.study.plan import Job, Plan
from resprobe_exporter.study.record import Record, State
from resprobe_exporter.training import data, hooks, trainer

EARLY = 0.1  # share of the steps


def measure(plan: Plan, job: Job, device: torch.device) -> Record:
    """Trains or takes a net and measures it.

    Args:
        plan: The study.
        job: Which of its nets.
        device: To compute on.

    Raises:
        DatasetError: The images cannot be read.
        CheckpointError: The weights do not fit.
    """
    begin = time.perf_counter()
    loaded = _on_device(plan, device)
    net = _new_net(plan, job, loaded).to(device)
    untrained = copy.deepcopy(net)
    trainer.train(untrained, loaded, replace(plan.recipe, epochs=0), job.seed, lambda _: None)
    gradients: dict[str, Mapping[str, float]] = {"initial": _gradients(net, loaded, plan.gradient_images)}
    curve: list[float] = []
    if job.weights is None:
        curve = _train(net, loaded, plan, job.seed, gradients)
    else:
        assert plan.taken is not None
        state_dict.fill(net, state_dict.read(job.weights, plan.taken.weights))
    gradients["late"] = _gradients(net, loaded, plan.gradient_images)
    few = _head(loaded.test, plan.lesion_limit)
    return Record(
        family=job.family,
        depth=job.depth,
        seed=job.seed,
        untrained=_state(untrained, loaded, plan.limit),
        trained=_state(net, loaded, plan.limit),
        gradients=gradients,
        closed_form=hooks.closed_form(net),
        curve=curve,
        lesions=lesions(net, few, loaded),
        lesion_accuracy=trainer.evaluate(net, few, loaded).accuracy,
        seconds=time.perf_counter() - begin,
    )


def lesions(net: ResNet, part: data.Part, loaded: data.Data) -> dict[str, float]:
    """Accuracy of the net without each one of its residual blocks (Veit et al. 2016): only the shortcut is left."""
    found = {}
    for block in net.blocks:
        with without(net, block.name):
            found[block.name] = trainer.evaluate(net, part, loaded).accuracy
    return found


@contextmanager
def without(net: ResNet, block: str) -> Iterator[None]:
    """A context in which the branch of a residual block adds nothing."""

    def drop(_module: nn.Module, operands: tuple[Tensor, Tensor], _total: Tensor) -> Tensor:
        return operands[1]

    hook = net.get_submodule(f"{block}.add").register_forward_hook(drop)
    try:
        yield
    finally:
        hook.remove()


def _new_net(plan: Plan, job: Job, loaded: data.Data) -> ResNet:
    channels, height, width = loaded.shape
    torch.manual_seed(job.seed)
    return ResNet(
        Architecture(job.family, job.depth, plan.shortcut, height, width, channels, classes=len(loaded.classes))
    )


def _train(
    net: ResNet, loaded: data.Data, plan: Plan, seed: int, gradients: dict[str, Mapping[str, float]]
) -> list[float]:
    """Trains, measures the gradients on the way, and returns the error of each epoch."""
    errors: dict[int, float] = {}

    def report(progress: trainer.Progress) -> None:
        errors[progress.epoch] = 1 - progress.accuracy
        if progress.step == max(1, round(EARLY * progress.steps)):
            gradients["early"] = _gradients(net, loaded, plan.gradient_images)

    trainer.train(net, loaded, plan.recipe, seed, report)
    return list(errors.values())


def _gradients(net: ResNet, loaded: data.Data, count: int) -> dict[str, float]:
    """Returns gradients of the mean loss on some training images, with training's batch statistics; changes nothing."""
    rows = np.random.default_rng(0).permutation(len(loaded.train))[:count]
    chosen = torch.from_numpy(rows).to(loaded.train.labels.device)
    twin = copy.deepcopy(net).train()
    logits = twin(trainer.normalise(loaded.train.images[chosen], loaded))
    twin.zero_grad(set_to_none=True)
    functional.cross_entropy(logits, loaded.train.labels[chosen]).backward()  # type: ignore[no-untyped-call]
    return hooks.gradient_norms(twin)


def _state(net: ResNet, loaded: data.Data, limit: int | None) -> State:
    on_train = trainer.evaluate(net, _head(loaded.train, limit), loaded)
    with hooks.Responses(net) as responses:
        on_test = trainer.evaluate(net, _head(loaded.test, limit), loaded)
    ratios = {name: float(ratio[np.isfinite(ratio)].mean()) for name, ratio in responses.ratios.items()}
    return State(
        train_error=1 - on_train.accuracy,
        test_error=1 - on_test.accuracy,
        train_loss=on_train.loss,
        test_loss=on_test.loss,
        responses=responses.std,
        ratios=ratios,
    )


def _head(part: data.Part, count: int | None) -> data.Part:
    return data.Part(part.images[:count], part.labels[:count])


def _on_device(plan: Plan, device: torch.device) -> data.Data:
    loaded = _load(plan.dataset, plan.data)
    if plan.taken is not None:
        wanted = plan.taken.preprocessing
        wanted.check(loaded.shape[0])
        loaded = replace(loaded, mean=tuple(wanted.mean), std=tuple(wanted.std))
    return replace(loaded, train=loaded.train.to(device), test=loaded.test.to(device))


@functools.cache  # a process measures many nets
def _load(name: datasets.Name, directory: Path | None) -> data.Data:
    return data.load(name, directory)
