"""Measures the nets of a study, several at a time: each in a process of its own with one thread.

Nets as small as these leave a second thread idle most of the time: two nets on a thread each get on 1.7 times as fast
as one after the other on two threads.
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
from resprobe_exporter.study.plan import Job, Plan
from resprobe_exporter.study.record import Record


def measure_all(plan: Plan, jobs: Sequence[Job], device: torch.device, workers: int) -> Iterator[tuple[Job, Record]]:
    """Yields each net as soon as it is measured.

    Args:
        plan: The study.
        jobs: The nets, in the order in which they are begun.
        device: To compute on.
        workers: Processes; 1 computes in this one.

    Raises:
        ExporterError: A process died, for example for want of memory; or what `experiment.measure` raises.
    """
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, experiment.measure(plan, job, device)
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(min(workers, len(jobs)), context, _start)
    try:
        with _born_deaf():
            begun = {executor.submit(experiment.measure, plan, job, device): job for job in jobs}
        for done in as_completed(begun):
            yield begun[done], _result(done)
        executor.shutdown()
    except BaseException:  # an interrupt too: what is half done is not waited for
        executor.shutdown(wait=False, cancel_futures=True)
        _end(set(multiprocessing.active_children()) - others)
        raise


def _end(processes: Iterable[BaseProcess]) -> None:
    """Ends processes, and waits until they are gone. They only compute: what they have is not worth keeping."""
    processes = list(processes)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


@contextmanager
def _born_deaf() -> Iterator[None]:
    """A context in which processes are started that never hear Ctrl-C; this one hears it when the context ends."""
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
            "a process of the study was killed; started again, the study goes on (--workers 1?)"
        ) from error


def _start() -> None:
    """A worker has one thread, and ends with its parent."""
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
