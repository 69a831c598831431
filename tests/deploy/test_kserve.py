"""Files for KServe and KEDA: they agree with the server, with each other, and with the schemas where these are given.

RESPROBE_SCHEMAS names a directory with the CustomResourceDefinitions of KServe (config/crd/full/ of its repository) and
KEDA (config/crd/bases/) as YAML files. They are not in this repository.
"""

import os
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from resprobe_server.config import Config

from tests.support.servers import Serve, free_address

DEPLOY = Path(__file__).parents[2] / "deploy"
SCHEMAS = os.environ.get("RESPROBE_SCHEMAS")
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
FILES = ("kserve.yaml", "kserve-services.yaml", "keda.yaml")


def parts(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


RUNTIMES = {one["metadata"]["name"]: one for one in parts("kserve.yaml")}
SERVICES = {one["metadata"]["name"]: one for one in parts("kserve-services.yaml")}


def container(runtime: str) -> dict[str, Any]:
    (found,) = RUNTIMES[runtime]["spec"]["containers"]
    return dict(found)


def given(arguments: list[str]) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in arguments if word.startswith("--"))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_option_exists(runtime: str) -> None:
    known = {field.name for field in fields(Config)}
    found = container(runtime)
    assert {name[2:].replace("-", "_") for name in given(found["args"])} <= known
    assert {one["name"].removeprefix("RESPROBE_SERVER_").lower() for one in found["env"]} <= known
    assert (found["name"], found["args"][0]) == ("kserve-container", "/mnt/models")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_there_is_one_port_and_it_is_for_grpc(runtime: str) -> None:
    found = container(runtime)
    ((name, port),) = [(one["name"], one["containerPort"]) for one in found["ports"]]
    assert name == "h2c"  # or a name with grpc: what KServe knows gRPC by
    assert given(found["args"])["--address"] == f"0.0.0.0:{port}"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert found[probe]["grpc"] == {"port": port}
    spec = RUNTIMES[runtime]["spec"]
    assert spec["protocolVersions"] == ["grpc-v2"]
    assert given(found["args"])["--metrics-address"] == f"0.0.0.0:{spec['annotations']['prometheus.kserve.io/port']}"


@pytest.mark.parametrize("service", SERVICES)
def test_services_find_their_runtime(service: str) -> None:
    predictor = SERVICES[service]["spec"]["predictor"]
    model = predictor["model"]
    spec, found = RUNTIMES[model["runtime"]]["spec"], container(model["runtime"])
    assert model["modelFormat"]["name"] in {one["name"] for one in spec["supportedModelFormats"]}
    assert model["protocolVersion"] in spec["protocolVersions"]
    assert predictor["terminationGracePeriodSeconds"] > float(given(found["args"])["--drain"])
    assert given(model.get("args", [])).keys() <= {f"--{one.name.replace('_', '-')}" for one in fields(Config)}
    assert ("nvidia.com/gpu" in model["resources"]["limits"]) == (given(found["args"])["--device"] == "cuda")
    assert "cpu" in model["resources"]["limits"]  # threads


def test_scaling_is_by_a_metric_that_the_server_has(start: Serve, repository: Path) -> None:
    at = free_address()
    with start(repository, metrics_address=at), urllib.request.urlopen(f"http://{at}/metrics") as answer:
        metrics = answer.read().decode()
    named = [one["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]["metric"] for one in SERVICES.values()]
    triggers = [one["metadata"] for part in parts("keda.yaml") for one in part["spec"]["triggers"]]
    for query in (one["query"] for one in [*named, *triggers]):
        name = query.removeprefix("sum(").partition("{")[0]
        assert f"\n{name}{{" in metrics
        assert query.startswith("sum(") and query.endswith(")")


@pytest.mark.skipif(SCHEMAS is None, reason="RESPROBE_SCHEMAS names no directory with the schemas of KServe and KEDA")
@pytest.mark.parametrize("name", FILES)
def test_the_schemas_accept_it(name: str) -> None:
    found = schemas(Path(SCHEMAS or ""))
    for part in parts(name):
        schema = found[part["kind"], part["apiVersion"]]
        assert list(problems(part, schema, part["kind"])) == []


def schemas(directory: Path) -> dict[tuple[str, str], Any]:
    """Schemas of all definitions in a directory, by kind and version of the API."""
    return {
        (definition["spec"]["names"]["kind"], f"{definition['spec']['group']}/{version['name']}"): version["schema"][
            "openAPIV3Schema"
        ]
        for path in directory.glob("*.yaml")
        for definition in yaml.safe_load_all(path.read_text())
        for version in definition["spec"]["versions"]
    }


def problems(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Names what a structural schema of Kubernetes does not accept: unknown and missing fields, types, words."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{where} is {value!r}; expected a number or text"
        return
    has_type = isinstance(value, TYPES[schema["type"]])
    if not has_type or isinstance(value, bool) is not (schema["type"] == "boolean"):
        yield f"{where} is {value!r}; expected {schema['type']}"
        return
    if value not in schema.get("enum", [value]):
        yield f"{where} is {value!r}; expected one of {schema['enum']}"
    if schema["type"] == "array":
        for place, one in enumerate(value):
            yield from problems(one, schema["items"], f"{where}[{place}]")
    if schema["type"] == "object":
        yield from _problems_of_fields(value, schema, where)


def _problems_of_fields(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    free = others is None and (not known or schema.get("x-kubernetes-preserve-unknown-fields"))
    yield from (f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, one in value.items():
        if name in known or isinstance(others, Mapping):
            yield from problems(one, known.get(name, others), f"{where}.{name}")
        elif not free:
            yield f"{where}.{name} is not known; expected one of {', '.join(known)}"


def test_what_a_schema_does_not_accept_is_named() -> None:
    port = {"type": "integer"}
    schema = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "ports": {"type": "array", "items": {"type": "object", "properties": {"port": port}}},
            "limits": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
            "name": {"type": "string", "enum": ["a"]},
        },
    }
    assert list(problems({"name": "a", "ports": [{"port": 1}], "limits": {"x": "2Gi", "y": 1}}, schema, "it")) == []
    wrong = {"ports": [{"port": "1"}, {"prot": 1}], "limits": {"x": []}, "more": 1}
    assert [one.partition(";")[0] for one in problems(wrong, schema, "it")] == [
        "it.name is missing",
        "it.ports[0].port is '1'",
        "it.ports[1].prot is not known",
        "it.limits.x is []",
        "it.more is not known",
    ]
    assert len(list(problems({"name": "b"}, schema, "it"))) == 1
