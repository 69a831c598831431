"""NVIDIA's tritonclient package against a server: an independent client gets the right answers."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from PIL import Image
from resprobe_protos import open_inference_pb2 as pb

from tests.support.servers import Serve

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-triton" / "bin" / "python"


@pytest.fixture(scope="module")
def found(
    start: Serve, address: str, repository: Path, tmp_path_factory: pytest.TempPathFactory, test_images: Any
) -> Iterator[dict[str, Any]]:
    """Output of the program."""
    assert PYTHON.exists(), "Triton's client is not installed in .venv-triton; `make test` does it"
    folder = tmp_path_factory.mktemp("triton")
    np.save(folder / "images.npy", test_images[:9])
    Image.fromarray(test_images[0, ..., 0]).save(folder / "image.png")
    program = ROOT / "tests" / "support" / "tritonclient_program.py"
    with start(repository, mode="explicit", load=("digits",), shared_memory=True) as explicit:
        run = subprocess.run([PYTHON, program, address, explicit, folder], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    yield json.loads(run.stdout)


def test_inference(found: dict[str, Any], repository: Path, test_images: npt.NDArray[np.uint8]) -> None:
    got = found["inference"]
    session = onnxruntime.InferenceSession(
        repository / "digits" / "2" / "probe.onnx", providers=["CPUExecutionProvider"]
    )
    logits, blocks = session.run(["logits", "blocks"], {"image": test_images[:9]})
    for name in ("uint8", "fp32"):
        np.testing.assert_allclose(got[name], logits, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got["file"], logits[:1], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got["blocks"], blocks, rtol=1e-3, atol=1e-3)
    assert (got["id"], got["order"]) == ("mine", ["blocks", "logits"])
    for row, best in zip(logits, got["best"], strict=True):
        assert [entry.split(":")[1:] for entry in best] == [[str(i), str(i)] for i in np.argsort(-row)[:2]]


def test_failures(found: dict[str, Any]) -> None:
    invalid, unsupported = "StatusCode.INVALID_ARGUMENT", "StatusCode.FAILED_PRECONDITION"
    expected = {
        "model": ("StatusCode.NOT_FOUND", "no model 'vgg'; there are: colour, digits, plain"),
        "shape": (invalid, "input image has shape [9, 4, 8, 1]; expected [n, 8, 8, 1]"),
        "datatype": (invalid, "input image has datatype 'INT32'; expected UINT8, or FP32, or BYTES"),
        "pixel": (invalid, "expected a pixel: a whole number from 0 to 255"),
        "output": (invalid, "output 'softmax' is unknown to model digits"),
        "sequence": (invalid, "the parameter sequence_id is for stateful models"),
        "timeout": ("StatusCode.DEADLINE_EXCEEDED", "the deadline passed while the request was waiting"),
        "load": (unsupported, "--mode explicit"),
    }
    assert found["failures"].keys() == expected.keys()
    for name, (status, message) in expected.items():
        assert found["failures"][name][0] == status, name
        assert message in found["failures"][name][1]


def test_streams_answer_in_order_and_go_on_after_an_error(found: dict[str, Any]) -> None:
    answers = found["stream"]
    assert "input image has shape [9, 4, 8, 1]" in answers[2]
    assert [answer for place, answer in enumerate(answers) if place != 2] == [
        [str(place), place + 1] for place in (0, 1, 3, 4, 5)
    ]


def test_the_asynchronous_client(found: dict[str, Any]) -> None:
    assert found["aio"] == [1, 2, 3, 4]


def test_metadata_configuration_and_statistics(found: dict[str, Any]) -> None:
    got = found["metadata"]
    assert (got["live"], got["ready"]) == (True, [True, True, False])
    assert got["server"]["name"] == "resprobe-server"
    assert got["model"]["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": ["-1", "8", "8", "1"]}]
    assert got["model"]["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": ["-1", "10"]}]
    config = got["config"]
    assert (config["backend"], config["max_batch_size"], config["input"][0]["dims"]) == ("onnxruntime", 8, list("881"))
    newest = next(one for one in got["statistics"] if one["version"] == "2")
    assert int(newest["inference_count"]) >= 9
    assert int(newest["inference_stats"]["success"]["ns"]) > 0
    assert {"name": "digits", "version": "2", "state": "READY"} in got["index"]


def test_models_are_unloaded_and_loaded(found: dict[str, Any]) -> None:
    *states, (status, message) = found["repository"]
    assert states == [True, False, True]
    assert (status, "the repository has no model 'vgg'" in message) == ("StatusCode.NOT_FOUND", True)


def test_tensors_in_shared_memory(found: dict[str, Any]) -> None:
    got = found["shared"]
    np.testing.assert_allclose(got["logits"], found["inference"]["uint8"], rtol=1e-3, atol=1e-3)
    assert got["listed"] == ["mine"]
    status, message = got["after"]
    assert (status, "no region 'mine'" in message) == ("StatusCode.INVALID_ARGUMENT", True)


def test_every_field_has_the_number_and_the_type_of_tritons(found: dict[str, Any]) -> None:
    waiting = [*pb.DESCRIPTOR.message_types_by_name.values()]
    while waiting:
        message = waiting.pop()
        waiting += message.nested_types
        for field in message.fields:
            ours = [field.number, field.type, field.is_repeated]
            assert found["wire"][message.full_name][field.name] == ours, f"{message.full_name}.{field.name}"
