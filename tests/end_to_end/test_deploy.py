"""What deploy/ gives to the server must exist in the server, and its ports and times must agree."""

import configparser
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import yaml
from resprobe_server.config import Config

DEPLOY = Path(__file__).parents[2] / "deploy"


def options(arguments: list[str]) -> dict[str, str]:
    """By name, whether they are given as --name value or as --name=value."""
    words = [part for word in arguments for part in word.split("=", 1)]
    return {word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}


def docker_instructions(name: str) -> list[list[str]]:
    """The JSON arrays of all instructions of this kind, one for each stage that has it."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [json.loads(found) for found in re.findall(rf"^{name}[^\[\n]*(\[.*\])$", text, re.MULTILINE)]


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / "resprobe-server.service").read_text().replace("\\\n", " "))
    return parser["Service"]


def manifest() -> dict[str, Any]:
    return {part["kind"]: part for part in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifest()["Deployment"]["spec"]["template"]["spec"]
    return found


COMMANDS = {
    "systemd": shlex.split(unit()["ExecStart"])[1:],
    "docker cpu": docker_instructions("CMD")[0],
    "docker cuda": docker_instructions("CMD")[1],
    "kubernetes": pod()["containers"][0]["args"],
}


@pytest.mark.parametrize("where", COMMANDS)
def test_every_option_exists(where: str) -> None:
    known = {f"--{field.name.replace('_', '-')}" for field in fields(Config)}
    given = options(COMMANDS[where])
    assert given.keys() <= known
    assert given["--address"].endswith(":50051")
    assert {"--tls-cert", "--tls-key"} <= given.keys()


@pytest.mark.parametrize("stage", [0, 1], ids=["cpu", "cuda"])
def test_the_health_check_of_an_image_asks_where_the_server_answers(stage: int) -> None:
    check = docker_instructions("HEALTHCHECK")[stage]
    assert check[:2] == ["resprobe", "health"]
    server = options(docker_instructions("CMD")[stage])
    assert options(check)["--address"] == server["--health-address"]


def test_the_ports_of_the_manifest_agree() -> None:
    container = pod()["containers"][0]
    given = options(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert given["--address"] == f"0.0.0.0:{ports['grpc']}"
    assert given["--health-address"] == f"0.0.0.0:{ports['health']}"
    assert given["--metrics-address"] == f"0.0.0.0:{ports['metrics']}"
    scraped = manifest()["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert scraped["prometheus.io/port"] == str(ports["metrics"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == ports["health"]
    service = manifest()["Service"]["spec"]
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(ports["grpc"], "grpc")]
    assert service["selector"] == manifest()["Deployment"]["spec"]["template"]["metadata"]["labels"]


def test_files_of_the_manifest_are_mounted() -> None:
    container = pod()["containers"][0]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in pod()["volumes"]}
    given = options(container["args"])
    for path in (container["args"][0], *(given[name] for name in ("--tls-cert", "--tls-key", "--tokens"))):
        assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts)


def test_what_was_accepted_is_finished_before_the_process_is_killed() -> None:
    assert pod()["terminationGracePeriodSeconds"] > float(options(COMMANDS["kubernetes"])["--drain"])
    assert float(unit()["TimeoutStopSec"]) > float(options(COMMANDS["systemd"])["--drain"])


def test_the_image_has_the_cuda_that_onnx_runtime_wants() -> None:
    library = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    if not library.is_file():
        pytest.skip("this onnxruntime comes without CUDA")
    wanted = re.search(rb"libcudart\.so\.(\d+)", library.read_bytes())
    found = re.search(r"^FROM nvidia/cuda:(\d+)\.\S*cudnn", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert wanted and found
    assert found[1] == wanted[1].decode()
