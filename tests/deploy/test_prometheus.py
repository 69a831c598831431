"""The dashboard and the alerts of deploy/, asked of a real Prometheus that scrapes a real server."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import resprobe
import yaml
from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.resprobe_pb2_grpc import ResidualServiceStub

from tests.support.servers import Serve, free_address
from tests.support.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yaml"
pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="needs prometheus and promtool, which Debian's package prometheus has",
)


def ask(address: str, path: str, **parameters: str) -> Any:
    """Returns what Prometheus answers; None while it does not answer yet."""
    try:
        with urllib.request.urlopen(f"http://{address}/{path}?{urllib.parse.urlencode(parameters)}") as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        if error.code == 503:  # it is starting
            return None
        raise AssertionError(f"{parameters}: {error.read().decode()}") from error
    except urllib.error.URLError:
        return None


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Runs Prometheus with deploy/'s files, four scrapes a second; yields its address."""
    config = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "250ms", "evaluation_interval": "250ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    shutil.copy(ALERTS, folder)
    address = free_address()
    command = [
        *("prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"),
        *(f"--web.listen-address={address}", "--enable-feature=exemplar-storage", "--log.level=error"),
    ]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: ask(address, "api/v1/targets") is not None)
            yield address
        finally:
            process.kill()


def queries() -> dict[str, str]:
    """The queries of the dashboard by panel, as Grafana asks them where everything is chosen."""
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$instance", ".*")
        .replace("$model", ".*")
        for panel in panels
        for target in panel["targets"]
    }


def use(address: str) -> None:
    """Sends requests of each kind, one that is refused among them."""
    images = np.zeros((600, 8, 8, 1), np.uint8)  # more than drift needs
    with resprobe.Client(address) as client:
        client.classify(images[:2], model="digits")
        client.classify(images, model="digits", blocks=True)
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        ResidualServiceStub(channel).Classify(pb.ClassifyRequest(model="vgg"))


def test_every_query_of_the_dashboard_finds_what_the_server_exports(
    start: Serve, repository: Path, tmp_path: Path
) -> None:
    where = free_address()
    with (
        start(repository, metrics_address=where, ratio_sample=1.0, shadow=("digits=2:0.5",)) as address,
        prometheus(tmp_path, where) as prom,
    ):
        use(address)
        left = queries()

        def answered() -> bool:
            for title, query in list(left.items()):
                found = ask(prom, "api/v1/query", query=query)
                if found and any(series["value"][1] != "NaN" for series in found["result"]):
                    del left[title]
            if left:
                use(address)  # rates need something to grow
            return not left

        try:
            until(answered, 30)
        finally:
            assert left == {}
        rules = ask(prom, "api/v1/rules")["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert {rule["name"] for rule in rules if rule["state"] == "firing"} == set()


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    for file in (ALERTS, Path(__file__).with_name("alerts-test.yaml")):
        shutil.copy(file, tmp_path)
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "alerts-test.yaml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong() -> None:
    command = ["promtool", "check", "config", str(DEPLOY / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    known = {rule["alert"] for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]}
    tested = yaml.safe_load(Path(__file__).with_name("alerts-test.yaml").read_text())["tests"]
    assert [{one["alertname"] for one in test["alert_rule_test"]} for test in tested] == [known, known]
