"""Measures the nets of a study, several at a time, in worker processes with one thread each.

Nets as small as these leave a second thread idle most of the time: two nets with a thread each are measured 1.7 times
as fast as one after the other with two threads.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch

from resprobe_exporter.errors import ExporterError
from resprobe_exporter.study import experiment
from resprobe_exporter.study.plan import Job, StudyPlan
from resprobe_exporter.study.record import Record


def measure_all(
    plan: StudyPlan, jobs: Sequence[Job], device: torch.device, workers: int
) -> Iterator[tuple[Job, Record]]:
    """Yields each net as soon as it is measured.

    Args:
        plan: The study.
        jobs: Nets to measure, in this order.
        device: Device to compute on.
        workers: Maximum number of worker processes. If 1, the nets are measured in this process.

    Raises:
        ExporterError: A worker died, for example because memory ran out.
        DatasetError: The images cannot be read.
        CheckpointError: The weights do not fit.
    """
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, experiment.measure(plan, job, device)
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(min(workers, len(jobs)), context, _start)
    try:
        with _interrupts_blocked():
            submitted = {executor.submit(experiment.measure, plan, job, device): job for job in jobs}
        for done in as_completed(submitted):
            yield submitted[done], _result(done)
        executor.shutdown()
    except BaseException:  # an interrupt too: nets that are half measured are given up
        executor.shutdown(wait=False, cancel_futures=True)
        _kill(set(multiprocessing.active_children()) - others)
        raise


def _kill(processes: Iterable[BaseProcess]) -> None:
    """Kills workers, and waits until they have ended. They only compute, so nothing is lost but their time."""
    processes = list(processes)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A context whose new processes inherit a blocked SIGINT; this process receives it when the context ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result(done: Future[Record]) -> Record:
    try:
        return done.result()
    except BrokenProcessPool as error:
        raise ExporterError(
            "a worker of the study was killed, perhaps because memory ran out: start the study again to resume it, "
            "with a lower --workers"
        ) from error


def _start() -> None:
    """Prepares a worker: it computes with one thread, and ends when its parent does."""
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("the study's pool was started outside a worker process")

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
