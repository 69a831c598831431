"""Damaged and strange ONNX files: each is imported, or refused in one sentence, never with a traceback."""

import random
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from resprobe_exporter.errors import ExporterError
from resprobe_exporter.versions import import_onnx

from tests.support.onnx_files import OPTIONS, import_file, model_of, net, save

Change = Callable[[random.Random, onnx.ModelProto], None]


def seed() -> onnx.ModelProto:
    """A small valid model: a block, and a Softmax behind the scores."""
    return model_of(net(lambda file, scores: file.op("Softmax", scores)))


def drop_node(chance: random.Random, model: onnx.ModelProto) -> None:
    del model.graph.node[chance.randrange(len(model.graph.node))]


def drop_weight(chance: random.Random, model: onnx.ModelProto) -> None:
    del model.graph.initializer[chance.randrange(len(model.graph.initializer))]


def double_node(chance: random.Random, model: onnx.ModelProto) -> None:
    model.graph.node.insert(chance.randrange(len(model.graph.node)), chance.choice(model.graph.node))


def swap_operator(chance: random.Random, model: onnx.ModelProto) -> None:
    kinds = ["Add", "BatchNormalization", "Concat", "Conv", "Flatten", "Gemm", "If", "Loop", "MatMul", "MaxPool", "Mul"]
    kinds += ["NoSuch", "Pad", "QuantizeLinear", "Relu", "Reshape", "Shape", "Slice", "Softmax", "Split", "Sum", ""]
    chance.choice(model.graph.node).op_type = chance.choice(kinds)


def rewire(chance: random.Random, model: onnx.ModelProto) -> None:
    node = chance.choice(model.graph.node)
    names = [name for one in model.graph.node for name in (*one.input, *one.output)]
    node.input[chance.randrange(len(node.input))] = chance.choice([*names, "", "nobody"])


def rename_output(chance: random.Random, model: onnx.ModelProto) -> None:
    names = [name for one in model.graph.node for name in one.output]
    chance.choice(model.graph.node).output[0] = chance.choice([*names, "", "blocks", "image", "logits"])


def drop_input(chance: random.Random, model: onnx.ModelProto) -> None:
    node = chance.choice(model.graph.node)
    del node.input[chance.randrange(len(node.input)) :]


def change_attribute(chance: random.Random, model: onnx.ModelProto) -> None:
    node = chance.choice([one for one in model.graph.node if one.attribute])
    attribute = chance.choice(node.attribute)
    if chance.random() < 0.3:
        attribute.type = chance.choice(range(1, 14))  # type: ignore[assignment]
    elif attribute.ints:
        attribute.ints[chance.randrange(len(attribute.ints))] = chance.choice([-1, 0, 2, 7, 2**40])
    else:
        attribute.i = chance.choice([-9, 0, 1, 2, 5])


def change_shape(chance: random.Random, model: onnx.ModelProto) -> None:
    value = chance.choice([*model.graph.input, *model.graph.output])
    sizes = value.type.tensor_type.shape.dim
    if chance.random() < 0.3:
        del sizes[chance.randrange(len(sizes)) :]
    else:
        one = chance.choice(sizes)
        one.Clear()
        if (size := chance.choice([None, "free", -1, 0, 1, 2, 5, 2**40])) is not None:
            setattr(one, "dim_param" if isinstance(size, str) else "dim_value", size)


def change_type(chance: random.Random, model: onnx.ModelProto) -> None:
    if chance.random() < 0.5:
        chance.choice(model.graph.initializer).data_type = chance.randrange(24)
    else:
        chance.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = chance.randrange(24)


def change_weight(chance: random.Random, model: onnx.ModelProto) -> None:
    weight = chance.choice(model.graph.initializer)
    if chance.random() < 0.5:
        weight.raw_data = weight.raw_data[: chance.randrange(len(weight.raw_data))]
    else:
        weight.dims[chance.randrange(len(weight.dims))] = chance.choice([-1, 0, 1, 3, 100])


def change_opset(chance: random.Random, model: onnx.ModelProto) -> None:
    if chance.random() < 0.2:
        del model.opset_import[:]
    else:
        model.opset_import[0].version = chance.choice([-1, 0, 1, 5, 7, 9, 12, 13, 17, 21, 999])


def change_container(chance: random.Random, model: onnx.ModelProto) -> None:
    match chance.randrange(5):
        case 0:
            model.graph.ClearField("output")
        case 1:
            model.graph.ClearField("input")
        case 2:
            model.ClearField("graph")
        case 3:
            model.ir_version = chance.choice([0, 1, 3, 99])
        case 4:
            model.graph.output[0].name = chance.choice(["", "nobody", "data", "w0"])


CHANGES: list[Change] = [
    drop_node,
    drop_weight,
    double_node,
    swap_operator,
    rewire,
    rename_output,
    drop_input,
    change_attribute,
    change_shape,
    change_type,
    change_weight,
    change_opset,
    change_container,
]


def outcome(path: Path, root: Path, options: import_onnx.OnnxOptions) -> str:
    try:
        import_file(path, root, options)
    except ExporterError as error:
        assert str(error).strip()
        assert "\n" not in str(error)
        assert len(str(error)) < 900
        return "refused"
    return "imported"


@pytest.mark.parametrize("change", CHANGES)
def test_a_strange_model_is_imported_or_refused(tmp_path: Path, change: Change) -> None:
    chance = random.Random(change.__name__)
    for number in range(12):
        model = seed()
        change(chance, model)
        path = save(model, tmp_path / "net.onnx")
        outcome(path, tmp_path / str(number), import_onnx.OnnxOptions() if number % 4 == 3 else OPTIONS)
        assert not list(tmp_path.glob("*/net/.*")), "a draft was left"


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    chance, whole = random.Random(0), seed().SerializeToString()
    path = tmp_path / "net.onnx"
    for number in range(120):
        content = bytearray(whole)
        if number % 2:
            del content[chance.randrange(len(content)) :]
        else:
            for _ in range(chance.choice([1, 3, 20])):
                content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        outcome(path, tmp_path / str(number), OPTIONS)


def rename(model: onnx.ModelProto, before: str, after: str) -> onnx.ModelProto:
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [after if name == before else name for name in names]
    for value in model.graph.input:
        value.name = after if value.name == before else value.name
    for weight in model.graph.initializer:
        weight.name = after if weight.name == before else weight.name
    return model


@pytest.mark.parametrize("name", ["image", "logits", "blocks", "block_scale", "untie/0", "image/mean"])
@pytest.mark.parametrize("tensor", ["w0", "Relu1"])
def test_weights_and_tensors_may_have_names_that_are_ours(tmp_path: Path, tensor: str, name: str) -> None:
    path = save(rename(seed(), tensor, name), tmp_path / "net.onnx")
    for root, options in (("typed", OPTIONS), ("tensors", import_onnx.OnnxOptions())):
        assert outcome(path, tmp_path / root, options) == "imported"


@pytest.mark.parametrize("name", ["blocks", "block_scale"])
def test_what_a_graph_takes_may_not_be_called_as_what_is_added(tmp_path: Path, name: str) -> None:
    path = save(rename(seed(), "data", name), tmp_path / "net.onnx")
    with pytest.raises(ExporterError, match=f"has an input or output {name}, a name that is added; rename it"):
        import_file(path, tmp_path / "models", import_onnx.OnnxOptions())
