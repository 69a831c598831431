"""Classes by name: whatever their order, and of whichever of a model's classes a data set holds some."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import resprobe
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from resprobe import datasets
from resprobe._classes import match, nearest
from resprobe.analysis import sweep
from resprobe.report import report
from resprobe_exporter.nets.preprocessing import Preprocessing
from resprobe_exporter.training.data import Data
from resprobe_exporter.versions.candidate import Origin
from resprobe_exporter.versions.net_candidate import net_candidate
from resprobe_exporter.versions.test_set import LabelledImages
from resprobe_exporter.versions.writer import write_version

from tests.support.commands import Run
from tests.support.nets import publish_net, small_net
from tests.support.servers import Serve

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
names = st.lists(st.text("abcXYZ _-äß", min_size=1, max_size=6), min_size=1, max_size=12, unique_by=str.casefold)


@given(names, st.data())
def test_any_order_and_any_subset_is_found(model: list[str], draw: st.DataObject) -> None:
    data = draw.draw(st.lists(st.sampled_from(model), min_size=1, unique=True))
    assert [model[index] for index in match(data, model).indices] == data
    assert match(data, model).note == ""


@pytest.mark.parametrize(
    ("data", "model", "indices", "note"),
    [
        (("Cat", "SHIP "), NAMES, [3, 8], "'Cat' is 'cat'"),
        (("sea_lion",), ("otter", "Sea lion"), [1], "'sea_lion' is 'Sea lion'"),
        (("cat", "Cat"), ("Cat", "cat"), [1, 0], ""),
        (("0", "1", "10", "2"), tuple(map(str, range(11))), [0, 1, 10, 2], ""),
        (("00", "01", "02"), ("0", "1", "2"), [0, 1, 2], "'00' is '0'"),
        (("2", "9"), NAMES, [2, 9], "numbers, which count as places"),
        (NAMES, tuple(map(str, range(10))), list(range(10)), "have no names"),
        (("n02123045", "n01440764"), ("toilet tissue", "tench", "Tabby"), [2, 1], "n02123045 is 'tabby'; classes were"),
        (("n01440764", "n15075141"), tuple(map(str, range(1000))), [0, 999], "they were taken for ImageNet's"),
        (("n01440764", "n15075141"), ("1", "0"), [0, 1], "have no names"),
        (("n01440764", "n00000001"), ("n00000001", "n01440764"), [1, 0], ""),
        (("a", "a"), ("a", "a"), [0, 1], ""),  # ImageNet has two cranes; a model and itself are in no doubt
    ],
)
def test_what_is_meant(data: Sequence[str], model: Sequence[str], indices: list[int], note: str) -> None:
    found = match(data, model)
    assert found.indices.tolist() == indices
    assert note in found.note
    assert bool(note) == bool(found.note)


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        (("cat", "shp"), NAMES, r"the model has no class 'shp' \(nearest: 'ship'"),
        (("lorry",), NAMES, "the model has no class 'lorry'; its classes are 'airplane'"),
        (("cat", "cat"), NAMES, "names the class 'cat' more than once"),
        (("CAT",), ("cat", "Cat"), "could be any of the model's classes 'cat' .number 0., 'Cat'"),
        (("crane",), ("crane", "crane"), "could be any of"),
        (("cat", "Cat"), NAMES, "'cat' and 'Cat' of the data set would both be the model's class 'cat'"),
        (("10",), NAMES, "the model has 10 classes, numbers 0 to 9, and the data set has a class '10'"),
        (("1", "01"), NAMES, "would both be the model's class 'automobile'"),
        (("cat", "ship"), tuple("0123456789"), "numbers instead of names, so the 2 classes of the data set cannot"),
        (("cat", "3"), NAMES, "has no class '3'"),
        (("n01440764", "n99999999"), NAMES, "'n99999999', a WordNet id that none of ImageNet's 1,000 classes has"),
        (("n01440764",), NAMES, "the model has no class 'tench'"),
    ],
)
def test_what_is_refused(data: Sequence[str], model: Sequence[str], message: str) -> None:
    with pytest.raises(resprobe.InvalidRequest, match=message):
        match(data, model)


def test_nearest_names() -> None:
    assert nearest("Airplan", NAMES)[0] == "airplane"
    assert nearest("zzz", NAMES) == []


@pytest.fixture(scope="module")
def permuted(tmp_path_factory: pytest.TempPathFactory, digits: Data, test_images: npt.NDArray[np.uint8]) -> Path:
    """A net, and itself with its outputs in another order, each measured on digits with words as names."""
    root, words = tmp_path_factory.mktemp("permuted"), tuple(f"digit {name}" for name in digits.classes)
    order = np.random.default_rng(3).permutation(10)
    test_set = LabelledImages("digits", test_images, digits.test.labels.numpy(), words)
    for name, rows in (("one", np.arange(10)), ("two", order)):
        net = small_net()
        with torch.no_grad():
            head = next(module for module in net.modules() if isinstance(module, torch.nn.Linear))
            head.weight[:], head.bias[:] = head.weight[rows].clone(), head.bias[rows].clone()
        labels, scaling = tuple(words[row] for row in rows), Preprocessing((0.4,), (0.3,))
        write_version(net_candidate(net, scaling, labels, Origin("test"), test_set), root, name)
    return root


def write_subset(root: Path, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Path:
    """Pictures of three classes, whose order by name is not the model's."""
    for number, name in ((7, "digit 7"), (2, "digit_2"), (9, "Digit 9")):
        (root / name).mkdir(parents=True)
        for place in np.flatnonzero(labels == number)[:10]:
            Image.fromarray(images[place, ..., 0]).save(root / name / f"{place}.bmp")
    return root


def test_every_command_goes_by_names(
    run: Run,
    start: Serve,
    permuted: Path,
    tmp_path: Path,
    test_images: npt.NDArray[np.uint8],
    digits: Data,
) -> None:
    labels = digits.test.labels.numpy()
    folder = write_subset(tmp_path / "some", test_images, labels)
    source = ["--dataset", "folder", "--data", str(folder)]
    with start(permuted) as address, resprobe.Client(address) as client:
        one, two = client.model("one"), client.model("two")
        assert one.accuracy == two.accuracy
        assert one.accuracy is not None
        frames = [sweep(client, datasets.load("folder", folder), model) for model in (one, two)]
        said = client.classify(test_images, model="one", top_k=1).classes[:, 0]
        rows = [int(Path(file).stem) for file in frames[0].files or ()]
        assert frames[0].labels is not None
        assert frames[0].labels.tolist() == labels[rows].tolist()
        assert frames[0].accuracy == frames[1].accuracy == (said[rows] == labels[rows]).mean()
        assert resprobe.compare(*frames).agreement == 1
        lost = [json.loads(run("resprobe", "lesions", *source, "--address", address, "--model", name, "--json")[1])
                for name in ("one", "two")]  # fmt: skip
        assert lost[0]["accuracy"] == lost[1]["accuracy"] == frames[0].accuracy
        assert lost[0]["blocks"][0]["accuracy"] == lost[1]["blocks"][0]["accuracy"]
        code, out, _ = run("resprobe", "compare", "one", "two", *source, "--address", address)
        assert (code, "agree on 100.00%" in out, "'digit_2' is 'digit 2'" in out) == (0, True, True)
        assert "Note: classes were matched" in report(frames[1], datasets.load("folder", folder))
        named = client.lesions(test_images[:9], labels[:9], model="two", classes=one.classes)
        assert named.accuracy == (said[:9] == labels[:9]).mean()


def test_a_class_that_the_model_lacks_ends_a_sweep(
    run: Run,
    start: Serve,
    permuted: Path,
    tmp_path: Path,
    test_images: npt.NDArray[np.uint8],
    digits: Data,
) -> None:
    folder = write_subset(tmp_path / "some", test_images, digits.test.labels.numpy())
    (folder / "Digit 9").rename(folder / "digit nine")
    with start(permuted) as address:
        for command, code in (("blocks", 1), ("lesions", 1), ("drift", 2)):
            arguments = [command, "--dataset", "folder", "--data", str(folder), "--address", address, "--model", "one"]
            found, out, error = run("resprobe", *arguments)
            assert (found, out) == (code, "")
            assert "model one has no class 'digit nine' (nearest: " in error


def test_two_models_of_other_classes_are_not_compared(tmp_path: Path, start: Serve) -> None:
    publish_net(small_net(), tmp_path, "net")
    with start(tmp_path) as address, resprobe.Client(address) as client:
        a = sweep(client, datasets.load("digits").head(9))
    assert "numbers, which count as places" in a.notes[0]
    other = dataclasses.replace(a.model, classes=tuple(f"kind{index}" for index in range(10)))
    with pytest.raises(resprobe.InvalidRequest, match="model net has no class 'kind0'"):
        resprobe.compare(a, dataclasses.replace(a, model=other))


def test_a_data_set_of_another_kind_is_refused(run: Run, address: str) -> None:
    at = ["--dataset", "digits", "--limit", "20", "--address", address]
    message = "images of digits are 8×8×1, and model colour is for 12×12×3"
    for command in (["blocks", "--model", "colour"], ["lesions", "--model", "colour"], ["compare", "colour", "colour"]):
        code, out, error = run("resprobe", *command, *at)
        assert (code, out, message in error, "--resize" in error) == (1, "", True, True)
    assert run("resprobe", "drift", "--model", "colour", *at)[0] == 2
    code, out, _ = run("resprobe", "blocks", "--model", "colour", *at, "--resize")
    assert (code, "note: images of digits are 8×8×1 and were resized to 12×12×3" in out) == (0, True)
    with resprobe.Client(address) as client:
        assert len(sweep(client, datasets.load("digits").head(3), "colour", resize=True)) == 3
