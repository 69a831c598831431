"""Runs a study: measures the nets that are not measured yet, and answers the questions."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from resprobe_exporter.study import pool
from resprobe_exporter.study.evidence import Evidence
from resprobe_exporter.study.plan import Job, Plan
from resprobe_exporter.study.record import Record, Store
from resprobe_exporter.study.results import Results, conclude


def run(
    plan: Plan,
    directory: Path,
    device: torch.device | None = None,
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Results:
    """Runs a study, or goes on with one.

    A net that is measured is a file in `directory`/runs; a net that was being measured when the study was killed is
    measured again.

    Args:
        plan: The study.
        directory: For what is measured and found; made if it does not exist.
        device: To compute on. If None, the CPU.
        workers: Nets that are measured at a time, each in a process with one thread; 1 measures in this process. More
            than one from a script needs its `if __name__ == "__main__"`.
        say: Told what is done, a line at a time.

    Raises:
        ExporterError: What is in the directory was measured by another plan; a process died.
        DatasetError: The images cannot be read.
        CheckpointError: Weights do not fit.
    """
    store, jobs = Store(directory), plan.jobs()
    records = {job: record for job in jobs if (record := store.read(plan, job)) is not None}
    left = [job for job in jobs if job not in records]
    if records:
        say(f"{len(records)} of {len(jobs)} nets are measured already")
    begin = time.perf_counter()
    for job, record in pool.measure_all(plan, left, device or torch.device("cpu"), workers):
        store.write(plan, job, record)
        records[job] = record
        say(_progress(job, record, left, records, time.perf_counter() - begin))
    results = conclude(plan, Evidence(tuple(records[job] for job in sorted(jobs, key=_order)), plan.dataset))
    results.write(directory)
    return results


def _order(job: Job) -> tuple[str, int, int]:
    return job.family, job.depth, job.seed


def _progress(job: Job, record: Record, left: list[Job], records: dict[Job, Record], seconds: float) -> str:
    """A net's time grows with its depth: that tells how long the others will take."""
    done = sum(one.depth for one in left if one in records)
    remaining = sum(one.depth for one in left) - done
    return (
        f"{job.name}: training error {record.trained.train_error:.2%}, test error {record.trained.test_error:.2%}, "
        f"{record.seconds:.0f} s ({len(records)} nets measured, {seconds / done * remaining:.0f} s left)"
    )
