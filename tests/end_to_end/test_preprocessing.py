"""A net of ImageNet from its file to the classes of a JPEG: the same as PIL and PyTorch without any of our code."""

import json
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
import resprobe
import torch
from PIL import Image
from resprobe.page.fitting import SMALL
from resprobe.report.inspection import inspection_page
from resprobe_exporter.nets.preprocessing import PRESETS
from resprobe_exporter.training import data
from resprobe_protos import open_inference_pb2, open_inference_pb2_grpc
from resprobe_server.errors import StartError
from torch import nn

from tests.support import exported_nets, timm_nets
from tests.support.commands import Run
from tests.support.open_inference import tensor
from tests.support.pages import ask, page, upload
from tests.support.servers import Serve

SIZE, RESIZE = exported_nets.SIZE, 18  # 16 and int(16 / 0.875)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = "ant,bee,cat,dog,eel"


def photograph(width: int, height: int) -> bytes:
    """A JPEG with colours, edges and some noise."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + k) + np.cos(y / (5 + k)) + (x > width / 3) * (k - 1) for k in range(3)]
    noise = np.random.default_rng(0).normal(0, 0.2, (height, width, 3))
    pixels = np.clip(127 + 45 * (np.stack(waves, -1) + noise), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def pixels_of(data: bytes, resize: int, size: int, filter: Image.Resampling) -> npt.NDArray[np.uint8]:
    picture = Image.open(BytesIO(data)).convert("RGB")
    w, h = picture.size
    picture = picture.resize((resize, resize * h // w) if w <= h else (resize * w // h, resize), filter)
    left, top = round((picture.width - size) / 2), round((picture.height - size) / 2)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def probabilities(net: nn.Module, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    tensor = torch.from_numpy(np.moveaxis((pixels / 255 - MEAN) / STD, -1, 0)[None].astype(np.float32))
    with torch.no_grad():
        found: npt.NDArray[np.float32] = net(tensor).softmax(1).numpy()
    return found


def publish(run: Run, path: Path, root: Path, *options: str) -> str:
    code, _, text = run("exporter", "probe", str(path), "--name", "net", "--repository", str(root), *options)
    assert code == 0, text
    return text


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return exported_nets.export(
        exported_nets.make(), tmp_path / "net.onnx", **exported_nets.old(17, dynamic_axes=exported_nets.FREE)
    )


@pytest.mark.parametrize(
    ("preset", "filter"), [("imagenet", Image.Resampling.BILINEAR), ("timm-bicubic", Image.Resampling.BICUBIC)]
)
def test_a_jpeg_gets_the_probabilities_of_pil_and_pytorch(
    tmp_path: Path, start: Serve, run: Run, small: Path, preset: str, filter: Image.Resampling
) -> None:
    notes = publish(run, small, tmp_path / "models", "--preprocess", preset, "--classes", CLASSES)
    name = preset.rpartition("-")[2].replace("imagenet", "bilinear")
    assert f"preprocess pictures: shorter side to 18 ({name}), centre 16×16" in notes
    content = photograph(73, 50)
    pixels = pixels_of(content, RESIZE, SIZE, filter)
    expected = probabilities(exported_nets.make(), pixels)
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        picture = Image.open(BytesIO(content))
        for where in ("server", "client"):
            result = client.classify([content, path, picture, pixels], top_k=5, preprocess=where, blocks=True)
            found = np.take_along_axis(result.probabilities, result.classes.argsort(1), 1)
            np.testing.assert_allclose(found, np.repeat(expected, 4, 0), atol=1e-3)
            assert result.resized_from == [(50, 73)] * 3 + [None]
            (streamed,) = client.stream([[content]], preprocess=where)
            assert streamed.resized_from == [(50, 73)]
        with pytest.raises(resprobe.InvalidImage, match="pixels of 50×73; this model takes pixels of 16×16"):
            client.classify(np.asarray(picture))
        model = client.model()
        with grpc.insecure_channel(address) as channel:
            stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            scores = stub.ModelInfer(
                open_inference_pb2.ModelInferRequest(
                    model_name="net", inputs=[tensor("image", "BYTES", (1,), bytes_contents=[content])]
                )
            )
            config = stub.ModelConfig(open_inference_pb2.ModelConfigRequest(name="net")).config
    assert model.preprocessing == resprobe.ResizeAndCrop(RESIZE, name)
    assert (model.mean, model.std) == (MEAN, STD)
    logits = np.frombuffer(scores.raw_output_contents[0], np.float32)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), expected[0], atol=1e-3)
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    assert parameters == {"precision": "float32", "resize": "18", "interpolation": name}


def test_commands_say_what_was_done_with_a_picture(tmp_path: Path, start: Serve, run: Run, small: Path) -> None:
    publish(run, small, tmp_path / "models", "--preprocess", "imagenet", "--resize", "20", "--class-names", CLASSES)
    path = tmp_path / "a.jpg"
    path.write_bytes(photograph(73, 50))
    with start(tmp_path / "models") as address:
        for where in ("server", "client"):
            arguments = (str(path), "--address", address, "--preprocess", where)
            code, out, err = run("resprobe", "classify", *arguments)
            assert code == 0, err
            steps = "shorter side to 20 (bilinear), centre 16×16"
            assert f"a.jpg was resized from 50×73 to 16×16 (height × width): {steps}" in out
            code, out, _ = run("resprobe", "blocks", *arguments, "--json")
            assert json.loads(out)["images"][0]["resized_from"] == {"height": 50, "width": 73}
        (model,) = json.loads(run("resprobe", "models", "--address", address, "--json")[1])
    assert model["image"]["preprocessing"] == {"resize": 20, "interpolation": "bilinear"}
    _, out, _ = run("exporter", "inspect", str(tmp_path / "models/net/1"))
    assert "pictures: shorter side to 20 (bilinear), centre 16×16" in out


def test_heat_maps_lie_over_what_the_net_saw(tmp_path: Path, start: Serve, run: Run, small: Path) -> None:
    publish(run, small, tmp_path / "models", "--preprocess", "imagenet", "--classes", CLASSES)
    path, out = tmp_path / "a.jpg", tmp_path / "a.html"
    path.write_bytes(photograph(73, 50))
    pixels = pixels_of(path.read_bytes(), RESIZE, SIZE, Image.Resampling.BILINEAR)
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        code, _, err = run("resprobe", "inspect", str(path), "--address", address, "--out", str(out))
        assert code == 0, err
        model = client.model()
        seen = client.classify([pixels], blocks=True, views=["maps", "readouts", "cam"])  # arrays are sent as they are
    expected = inspection_page(seen, model, pixels, path.name)
    assert out.read_text() == expected
    assert expected != inspection_page(seen, model, np.asarray(Image.open(path).resize((SIZE, SIZE))), path.name)


def test_sliders_of_the_page_keep_what_the_net_saw(tmp_path: Path, start: Serve, run: Run, small: Path) -> None:
    publish(run, small, tmp_path / "models", "--preprocess", "imagenet", "--classes", CLASSES)
    content = photograph(600, 400)
    assert len(content) > SMALL  # the page itself fits it, once the server has answered for it
    with start(tmp_path / "models") as address, page(address) as url, resprobe.Client(address) as client:
        asked = {"picture": upload(url, content), "model": "net", "version": "1"}
        ask(url, "/api/models")
        for scale, size in ((None, [400, 600]), ([1.0, 0.5, 1.0], None)):
            _, _, found = ask(url, "/api/classify", {**asked, "scale": scale})
            expected = client.classify(content, blocks=True, block_scale=scale)
            assert found["blocks"]["ratio"] == pytest.approx(expected.blocks.ratio[0], rel=1e-5)
            assert found["resized_from"] == size


@pytest.fixture
def folder(tmp_path: Path) -> tuple[str, ...]:
    """Options that name ten photographs of five classes, in many sizes."""
    for index, name in enumerate(CLASSES.split(",") * 2):
        path = tmp_path / "pictures" / name / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photograph(40 + 3 * index, 60 - index))
    return "--dataset", "folder", "--data", str(tmp_path / "pictures")


def described(directory: Path) -> tuple[Any, Any]:
    """Returns what a description says of images and blocks."""
    model = json.loads((directory / "model.json").read_text())
    return model["image"], [(block["name"], block.get("branch"), block.get("axes")) for block in model["blocks"]]


def test_a_version_with_fewer_bits_sees_the_same(
    tmp_path: Path, run: Run, small: Path, folder: tuple[str, ...]
) -> None:
    options = ("--preprocess", "timm-bicubic", "--crop-fraction", "0.9", "--classes", CLASSES)
    publish(run, small, tmp_path / "models", *options, *folder, "--precision", "int8")
    image, blocks = described(tmp_path / "models/net/1")
    assert image["preprocessing"] == {"resize": 17, "interpolation": "bicubic"}
    assert described(tmp_path / "models/net-int8/1") == (image, blocks)


def test_a_net_is_trained_on_such_pictures(tmp_path: Path, run: Run, folder: tuple[str, ...]) -> None:
    base = ("exporter", "build", "--depth", "8", "--epochs", "0", "--repository", str(tmp_path / "models"))
    cut = ("--image-size", "16", "--preprocess", "imagenet", *folder)
    code, _, text = run(*base, *cut)
    assert code == 0, text
    image, _ = described(tmp_path / "models/resnet8/1")
    assert image["preprocessing"] == {"resize": RESIZE, "interpolation": "bilinear"}
    loaded = data.load("folder", tmp_path / "pictures", SIZE, pictures=PRESETS["imagenet"])
    assert image["mean"] == pytest.approx(loaded.mean)
    first = photograph(40, 60)
    expected = pixels_of(first, RESIZE, SIZE, Image.Resampling.BILINEAR)
    both = np.concatenate([loaded.train.images.numpy(), loaded.test.images.numpy()])
    assert (np.moveaxis(both, 1, -1) == expected).all((1, 2, 3)).sum() == 1
    code, _, text = run("exporter", "build", "--depth", "8", "--preprocess", "imagenet")
    assert (code, "only the pictures of --dataset folder are cut" in text) == (1, True)


def test_a_folder_is_preprocessed_alike_by_exporter_client_and_server(
    tmp_path: Path, start: Serve, run: Run, small: Path, folder: tuple[str, ...]
) -> None:
    publish(run, small, tmp_path / "models", "--preprocess", "imagenet", "--classes", CLASSES, *folder)
    first = json.loads((tmp_path / "models/net/1/model.json").read_text())["blocks"][0]
    with start(tmp_path / "models") as address:
        parquet, base = str(tmp_path / "stats.parquet"), ("--address", address, *folder)
        code, out, err = run("resprobe", "blocks", *base, "--out", parquet, "--json")
        assert code == 0, err
        served = json.loads(out)["blocks"][0]["ratio"]["mean"]
        assert run("resprobe", "lesions", *base, "--json")[0] == 0
        with resprobe.Client(address) as client:
            model = client.model()
            wrong = resprobe.datasets.Dataset(
                "digits", np.zeros((3, 9, 7, 1), np.uint8), np.arange(3), tuple(CLASSES.split(",")), np.arange(3)
            )
            assert len(resprobe.analysis.sweep(client, wrong, resize=True)) == 3
    assert served == pytest.approx(first["baseline"]["ratio"]["mean"], rel=1e-5)
    assert resprobe.analysis.read(parquet).model.preprocessing == model.preprocessing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--preprocess", "none", "--resize", "20"), "--resize: pictures are not cut; give --preprocess imagenet or"),
        (("--interpolation", "bicubic", "--mean", "0", "--std", "1"), "--interpolation: pictures are not cut"),
        (("--resize", "20"), "pictures are for nets that take pixels: give --preprocess, or --mean and --std"),
        (("--preprocess", "imagenet", "--crop-fraction", "1.2"), "--crop-fraction 1.2: expected a number above 0"),
        (("--preprocess", "imagenet", "--resize", "0"), "--resize 0: expected 1 pixel or more"),
        (("--preprocess", "imagenet", "--resize", "9", "--crop-fraction", "0.9"), "say the same in two ways"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, options: tuple[str, ...], message: str) -> None:
    code, _, text = run("exporter", "probe", "nothing.onnx", *options)
    assert (code, message in text) == (1, True), text


def test_a_description_with_unknown_steps_is_not_served(tmp_path: Path, start: Serve, run: Run, small: Path) -> None:
    publish(run, small, tmp_path / "models", "--preprocess", "imagenet", "--classes", CLASSES)
    path = tmp_path / "models/net/1/model.json"
    path.write_text(path.read_text().replace('"bilinear"', '"lanczos"'))
    with pytest.raises(StartError, match="none of the 1 model versions"), start(tmp_path / "models"):
        pass


@pytest.mark.long
def test_a_resnet_50_at_224_gets_the_probabilities_of_torchvision(tmp_path: Path, start: Serve, run: Run) -> None:
    net = timm_nets.create("resnet50")  # before torchvision: it may add the directory to sys.path
    from torchvision import transforms  # type: ignore[import-not-found,import-untyped,unused-ignore]

    path = timm_nets.export(net, tmp_path / "net.onnx", is_new=True)
    notes = publish(run, path, tmp_path / "models", "--preprocess", "imagenet")
    assert "classes are called as those of ImageNet, as there are 1,000" in notes
    content = photograph(500, 375)
    steps = [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = net(transforms.Compose(steps)(Image.open(BytesIO(content)))[None]).softmax(1).numpy()[0]
    with start(tmp_path / "models") as address, resprobe.Client(address) as client:
        result = client.classify(content, top_k=1000)
        assert client.model().classes[207] == "golden retriever"
    np.testing.assert_allclose(result.probabilities[0][result.classes[0].argsort()], expected, atol=1e-3)
