"""Runs of a study: nets are measured once and kept, a stopped study resumes, and the results are written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from resprobe_exporter.errors import CheckpointError, ExporterError
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.study import ImportedNets, StudyPlan, default_recipe, experiment, pool, run_study
from resprobe_exporter.study.plan import Job
from resprobe_exporter.study.record import Record

from tests.support.nets import small_net
from tests.support.study import TINY

KEYS = ("degradation", "overfitting", "gradients", "responses", "ratios", "lesions", "decisions", "proxies")


def test_a_study_writes_answers_and_tables(finished: Path) -> None:
    answers = json.loads((finished / "results.json").read_text())["answers"]
    assert tuple(answer["key"] for answer in answers) == KEYS
    tables = {path.stem: pq.read_table(path) for path in finished.glob("*.parquet")}
    assert set(tables) == set(KEYS)
    assert tables["degradation"].num_rows == 4
    assert {tables[key].num_rows for key in ("ratios", "lesions", "decisions", "proxies")} == {3 + 6}
    assert tables["responses"].num_rows == 2 * (7 + 13)
    assert tables["gradients"].num_rows == 3 * 2 * (8 + 14)  # three moments; the linear layer counts
    assert set(tables["gradients"].column("moment").to_pylist()) == {"initial", "early", "late"}


def test_a_killed_study_resumes(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(plan: StudyPlan, job: Job, device: torch.device) -> Record:
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(job.name)
        return real(plan, job, device)

    real = experiment.measure
    monkeypatch.setattr(experiment, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        run_study(TINY, tmp_path)
    assert [path.stem for path in (tmp_path / "runs").iterdir()] == measured
    monkeypatch.setattr(experiment, "measure", real)
    said: list[str] = []
    results = run_study(TINY, tmp_path, report=said.append)
    assert said[0] == "1 of 4 nets are measured already"
    assert len(said) == 4
    before = json.loads((finished / "runs" / "resnet14-seed0.json").read_text())
    now = json.loads((tmp_path / "runs" / "resnet14-seed0.json").read_text())
    assert now["trained"] == before["trained"]
    assert results.tables["degradation"].num_rows == 4


def test_a_smaller_plan_resumes_and_another_is_refused(finished: Path, tmp_path: Path) -> None:
    said: list[str] = []
    shutil.copytree(finished / "runs", tmp_path / "runs")
    assert len(run_study(replace(TINY, depths=(8,)), tmp_path, report=said.append).evidence.records) == 2
    assert said == ["2 of 2 nets are measured already"]
    with pytest.raises(
        ExporterError, match="was measured by another plan \\(limit was 60, is 50; epochs was 1, is 2\\)"
    ):
        run_study(replace(TINY, recipe=default_recipe("digits", 2), limit=50), tmp_path)


def test_records_of_another_version_are_refused(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "runs", tmp_path / "runs")
    path = tmp_path / "runs" / "resnet14-seed0.json"
    record = json.loads(path.read_text())
    del record["inside"]
    path.write_text(json.dumps(record))
    with pytest.raises(ExporterError, match=r"resnet14-seed0\.json was measured by another version of resprobe"):
        run_study(TINY, tmp_path)


def test_imported_nets_are_measured_without_training(tmp_path: Path) -> None:
    paths = []
    for depth in (8, 14):
        paths.append(tmp_path / f"net{depth}.pt")
        torch.save(small_net(depth=depth).state_dict(), paths[-1])
    imported = ImportedNets(tuple(paths), (), Preprocessing((0.3,), (0.37,)))
    results = run_study(replace(TINY, imported=imported), tmp_path / "study")
    by_key = {answer.key: answer for answer in results.answers}
    assert [record.depth for record in results.evidence.records] == [8, 14]
    assert {key: answer.outcome for key, answer in by_key.items() if key in KEYS[:3]} == dict.fromkeys(
        KEYS[:3], "unanswered"
    )
    assert "cannot be answered" in by_key["degradation"].verdict
    assert "Gradients early in training are not known" in by_key["gradients"].verdict
    torch.save(small_net(depth=20).state_dict(), paths[0])
    with pytest.raises(ExporterError, match=r"another --out"):
        torch.save({**small_net(depth=8).state_dict(), "linear.bias": torch.ones(10)}, paths[0])
        run_study(replace(TINY, imported=imported), tmp_path / "study")
    torch.save({"linear.bias": torch.ones(10)}, paths[0])
    with pytest.raises(CheckpointError, match="holds no blocks"):
        run_study(replace(TINY, imported=imported), tmp_path / "other")
    wrong = replace(imported, resnet=(paths[1],), preprocessing=Preprocessing((0.3,) * 3, (0.3,) * 3))
    with pytest.raises(ExporterError, match="--mean has 3 values; expected 1"):
        run_study(replace(TINY, imported=wrong), tmp_path / "other")


def test_workers_measure_what_one_process_measures(finished: Path) -> None:
    jobs = [job for job in TINY.jobs() if job.depth == 8]
    found = dict(pool.measure_all(TINY, jobs, torch.device("cpu"), 2))
    assert set(found) == set(jobs)
    for job, record in found.items():
        before = json.loads((finished / "runs" / f"{job.name}.json").read_text())
        # one thread adds in another order than several, and training carries that on
        assert record.trained.responses == pytest.approx(before["trained"]["responses"], rel=0.05)
