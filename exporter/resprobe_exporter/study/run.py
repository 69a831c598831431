"""Runs a study: measures the nets that have not been measured yet, and answers the questions."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from resprobe_exporter.study import pool
from resprobe_exporter.study.evidence import Evidence
from resprobe_exporter.study.plan import Job, StudyPlan
from resprobe_exporter.study.record import Record, Store
from resprobe_exporter.study.results import StudyResults, answer_questions


def run_study(
    plan: StudyPlan,
    directory: Path,
    device: torch.device | None = None,
    workers: int = 1,
    report: Callable[[str], None] = lambda _: None,
) -> StudyResults:
    """Runs a study, or resumes one, and writes its results.

    Each measured net is a file in `directory`/runs. A net that was being measured when the study was killed is
    measured again.

    Args:
        plan: The study.
        directory: Directory of measurements and results; created if it does not exist.
        device: Device to compute on. If None, the CPU.
        workers: Nets that are measured at a time, each in a process with one thread. If 1, they are measured in this
            process. A script that sets more needs `if __name__ == "__main__"`.
        report: Callback that gets a line of text for each net that is done.

    Raises:
        ExporterError: The nets in the directory were measured by another plan, or a worker died.
        DatasetError: The images cannot be read.
        CheckpointError: The weights do not fit.
    """
    store, jobs = Store(directory), plan.jobs()
    records = {job: record for job in jobs if (record := store.read(plan, job)) is not None}
    left = [job for job in jobs if job not in records]
    if records:
        report(f"{len(records)} of {len(jobs)} nets are measured already")
    begin = time.perf_counter()
    for job, record in pool.measure_all(plan, left, device or torch.device("cpu"), workers):
        store.write(plan, job, record)
        records[job] = record
        report(_progress(job, record, left, records, time.perf_counter() - begin))
    evidence = Evidence(tuple(records[job] for job in sorted(jobs, key=_order)), plan.dataset)
    results = answer_questions(plan, evidence)
    results.write(directory)
    return results


def _order(job: Job) -> tuple[str, int, int]:
    return job.family, job.depth, job.seed


def _progress(job: Job, record: Record, left: list[Job], records: dict[Job, Record], seconds: float) -> str:
    """Returns a line about a measured net and the time left, which is estimated from the depths of the other nets."""
    done = sum(one.depth for one in left if one in records)
    remaining = sum(one.depth for one in left) - done
    return (
        f"{job.name}: training error {record.trained.train_error:.2%}, test error {record.trained.test_error:.2%}, "
        f"{record.seconds:.0f} s ({len(records)} nets measured, {seconds / done * remaining:.0f} s left)"
    )
