"""Measures one net of a study: trains it or reads its checkpoint, and returns every number that the questions need."""

import copy
import functools
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from resprobe import datasets
from torch.nn import functional

from resprobe_exporter.checkpoints import state_dict
from resprobe_exporter.nets.resnet import Architecture, ResNet
from resprobe_exporter.study.inside import Counts, measure_inside
from resprobe_exporter.study.plan import Job, StudyPlan
from resprobe_exporter.study.record import Record, Snapshot
from resprobe_exporter.training import data, hooks, trainer

EARLY = 0.1  # share of the steps


def measure(plan: StudyPlan, job: Job, device: torch.device) -> Record:
    """Trains a net or reads its checkpoint, and measures it.

    Args:
        plan: The study.
        job: Net of the study.
        device: Device to compute on.

    Raises:
        DatasetError: The images cannot be read.
        CheckpointError: The weights do not fit.
    """
    begin = time.perf_counter()
    images = _on_device(plan, device)
    net = _new_net(plan, job, images).to(device)
    untrained = copy.deepcopy(net)
    trainer.train(untrained, images, replace(plan.recipe, epochs=0), job.seed, lambda _: None)
    gradients: dict[str, Mapping[str, float]] = {"initial": _gradients(net, images, plan.gradient_images)}
    curve = _obtain_weights(net, images, plan, job, gradients)
    gradients["late"] = _gradients(net, images, plan.gradient_images)
    counts = Counts(plan.head_images, plan.limit, plan.lesion_limit)
    inside, lesions = measure_inside(net, images, counts) if net.blocks else (None, {})
    return Record(
        family=job.family,
        depth=job.depth,
        seed=job.seed,
        untrained=_snapshot(untrained, images, plan.limit),
        trained=_snapshot(net, images, plan.limit),
        gradients=gradients,
        closed_form=hooks.closed_form(net),
        curve=curve,
        lesions=lesions,
        lesion_accuracy=trainer.evaluate(net, _head(images.test, plan.lesion_limit), images).accuracy,
        inside=inside,
        seconds=time.perf_counter() - begin,
    )


def _new_net(plan: StudyPlan, job: Job, images: data.Data) -> ResNet:
    channels, height, width = images.shape
    torch.manual_seed(job.seed)
    return ResNet(
        Architecture(job.family, job.depth, plan.shortcut, height, width, channels, classes=len(images.classes))
    )


def _obtain_weights(
    net: ResNet, images: data.Data, plan: StudyPlan, job: Job, gradients: dict[str, Mapping[str, float]]
) -> list[float]:
    """Trains the net or fills it from its checkpoint; returns the error of each epoch that was trained here."""
    if plan.imported is None or job.weights is None:
        return _train(net, images, plan, job.seed, gradients)
    state_dict.fill(net, state_dict.read(job.weights, plan.imported.weights))
    return []


def _train(
    net: ResNet, images: data.Data, plan: StudyPlan, seed: int, gradients: dict[str, Mapping[str, float]]
) -> list[float]:
    """Trains the net, adds its early gradients to `gradients`, and returns the error of each epoch."""
    errors: dict[int, float] = {}

    def report(progress: trainer.Progress) -> None:
        errors[progress.epoch] = 1 - progress.accuracy
        if progress.step == max(1, round(EARLY * progress.steps)):
            gradients["early"] = _gradients(net, images, plan.gradient_images)

    trainer.train(net, images, plan.recipe, seed, report)
    return list(errors.values())


def _gradients(net: ResNet, images: data.Data, count: int) -> dict[str, float]:
    """Returns the norms of the gradients of the mean loss on `count` training images, with batch statistics."""
    rows = np.random.default_rng(0).permutation(len(images.train))[:count]
    chosen = torch.from_numpy(rows).to(images.train.labels.device)
    twin = copy.deepcopy(net).train()  # running statistics and gradients of the net itself stay as they are
    logits = twin(trainer.normalise(images.train.images[chosen], images))
    twin.zero_grad(set_to_none=True)
    functional.cross_entropy(logits, images.train.labels[chosen]).backward()  # type: ignore[no-untyped-call]
    return hooks.gradient_norms(twin)


def _snapshot(net: ResNet, images: data.Data, limit: int | None) -> Snapshot:
    on_train = trainer.evaluate(net, _head(images.train, limit), images)
    with hooks.Responses(net) as responses:
        on_test = trainer.evaluate(net, _head(images.test, limit), images)
    ratios = {name: float(ratio[np.isfinite(ratio)].mean()) for name, ratio in responses.ratios.items()}
    return Snapshot(
        train_error=1 - on_train.accuracy,
        test_error=1 - on_test.accuracy,
        train_loss=on_train.loss,
        test_loss=on_test.loss,
        responses=responses.std,
        ratios=ratios,
    )


def _head(part: data.Part, count: int | None) -> data.Part:
    return data.Part(part.images[:count], part.labels[:count])


def _on_device(plan: StudyPlan, device: torch.device) -> data.Data:
    images = _load(plan.dataset, plan.data)
    if plan.imported is not None:
        wanted = plan.imported.preprocessing
        wanted.check(images.shape[0])
        images = replace(images, mean=tuple(wanted.mean), std=tuple(wanted.std))
    return replace(images, train=images.train.to(device), test=images.test.to(device))


@functools.cache  # a process measures many nets
def _load(name: datasets.Name, directory: Path | None) -> data.Data:
    return data.load(name, directory)
