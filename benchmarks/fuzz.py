"""Whether any message changes what another caller gets: random messages to a server, against a plain oracle.

    python benchmarks/fuzz.py localhost:50051 --model resnet20 --minutes 10

Two callers send valid, odd, cut and broken messages of both protocols at the same time, with contents, tails and
repeated fields in any order. The oracle is the same message after a field that nobody knows, different each time and
longer than what the server remembers of a message: protobuf skips it, so that the answer must be the same. Exit code 1
at the first difference, and for any answer that is INTERNAL or UNKNOWN; the message is printed. With `--tokens A B`
the callers send these tokens.
"""

import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import tyro
from resprobe_protos import open_inference_pb2 as oip
from resprobe_protos import resprobe_pb2 as pb

CLASSIFY, INFER = "/resprobe.v1.ResidualService/Classify", "/inference.GRPCInferenceService/ModelInfer"
TOLERANCE = 1e-3  # between the same image in batches of different sizes
IN_FLIGHT = 64  # pairs of a message and its oracle
REMEMBERED = 20_000  # answers of oracles, which are the same for the same message


@dataclass(frozen=True)
class Options:
    """Options of the fuzz test."""

    address: tyro.conf.Positional[str]
    """HOST:PORT of the server."""
    model: tuple[str, ...] = ()
    """Names of the models to ask. If empty, all served models."""
    minutes: float = 10.0
    """Minutes to run the test."""
    seed: int = 0
    """Seed of the messages."""
    tokens: tuple[str, ...] = ()
    """Tokens that the callers send, by turns."""


@dataclass(frozen=True)
class Target:
    """A model to ask: its name, and the height, width and channels of its images."""

    name: str
    shape: tuple[int, int, int]
    blocks: int


@dataclass(frozen=True)
class Answer:
    """Answer to a call: the status, and the contents of the response apart from times and batch sizes."""

    code: str
    text: str = ""
    values: Sequence[Any] = field(default=(), compare=False)

    def same_as(self, other: "Answer") -> bool:
        """Returns whether two answers are equal, apart from rounding."""
        if self != other or len(self.values) != len(other.values):
            return False
        return all(
            np.array_equal(a, b) or np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)
            for a, b in zip(self.values, other.values, strict=True)
        )


def varint(number: int) -> bytes:
    """Encodes a number as protobuf does."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def unknown(content: bytes) -> bytes:
    """Encodes a field of bytes that neither protocol has."""
    return varint(1000 << 3 | 2) + varint(len(content)) + content


class Messages:
    """An endless, seeded stream of messages."""

    def __init__(self, targets: Sequence[Target], seed: int) -> None:
        """Creates a stream of messages for these models."""
        self._targets, self._random = targets, random.Random(seed)
        generator = np.random.default_rng(seed)
        self._images = {
            one.name: [generator.integers(0, 256, one.shape, np.uint8).tobytes() for _ in range(4)] for one in targets
        }

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Yields methods and messages; most are plain ones, so that the others can be confused with them."""
        pick = self._random
        while True:
            target = pick.choice(self._targets)
            method = pick.choice((CLASSIFY, INFER))
            make = self._infer if method == INFER else self._classify
            parts = make(target)
            kind = pick.random()
            if kind < 0.3:
                parts += [pick.choice(self._tails(method, target)) for _ in range(pick.randint(1, 3))]
            elif kind < 0.4:
                parts += make(pick.choice(self._targets))
            elif kind < 0.5:
                pick.shuffle(parts)
            data = b"".join(parts)
            if 0.5 < kind < 0.6 and data:
                data = data[: pick.randrange(len(data))]
            elif 0.6 < kind < 0.65:
                data = self._flip(data)
            yield method, data

    def _flip(self, data: bytes) -> bytes:
        damaged = bytearray(data)
        for _ in range(self._random.randint(1, 3)):
            damaged[self._random.randrange(min(len(damaged), 60))] = self._random.randrange(256)
        return bytes(damaged)

    def _infer(self, target: Target) -> list[bytes]:
        image = self._random.choice(self._images[target.name])
        tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=[1, *target.shape])
        messages = [
            oip.ModelInferRequest(model_name=target.name),
            oip.ModelInferRequest(inputs=[tensor]),
            oip.ModelInferRequest(raw_input_contents=[image]),
        ]
        return [message.SerializeToString() for message in messages]

    def _classify(self, target: Target) -> list[bytes]:
        height, width, channels = target.shape
        data = self._random.choice(self._images[target.name])
        pixels = pb.Pixels(height=height, width=width, channels=channels, data=data)
        return [
            pb.ClassifyRequest(model=target.name).SerializeToString(),
            pb.ClassifyRequest(images=[pb.Image(pixels=pixels)]).SerializeToString(),
        ]

    def _tails(self, method: str, target: Target) -> list[bytes]:
        other, image = self._random.choice(self._targets), self._random.choice(self._images[target.name])
        if method == CLASSIFY:
            requests: list[Any] = [
                pb.ClassifyRequest(model=other.name),
                pb.ClassifyRequest(version=self._random.choice(("1", "2", "x"))),
                pb.ClassifyRequest(top_k=self._random.randint(-1, 3)),
                pb.ClassifyRequest(view=pb.VIEW_BLOCKS),
                pb.ClassifyRequest(block_scale=[0.0] * target.blocks),
                pb.ClassifyRequest(id="x"),
            ]
        else:
            outputs = oip.ModelInferRequest.InferRequestedOutputTensor
            classes = outputs(name="logits")
            classes.parameters["classification"].int64_param = 2
            timeout = oip.ModelInferRequest()
            timeout.parameters["timeout"].int64_param = self._random.choice((-1, 10**12))
            requests = [
                oip.ModelInferRequest(model_name=other.name),
                oip.ModelInferRequest(model_version=self._random.choice(("1", "2", "x"))),
                oip.ModelInferRequest(id="x"),
                oip.ModelInferRequest(outputs=[outputs(name=self._random.choice(("logits", "blocks", "none")))]),
                oip.ModelInferRequest(outputs=[classes]),
                oip.ModelInferRequest(raw_input_contents=[image]),
                timeout,
            ]
        return [request.SerializeToString() for request in requests] + [unknown(image), unknown(b"")]


class Callers:
    """Sends pairs of a message and its oracle, and compares the answers."""

    def __init__(self, channel: grpc.Channel, tokens: Sequence[str] = ()) -> None:
        """Creates callers on a channel, one for each token."""
        self._metadata = [[("authorization", f"Bearer {token}")] for token in tokens] or [[]]
        self._calls: dict[str, Any] = {method: channel.unary_unary(method) for method in (CLASSIFY, INFER)}
        self._count = 0
        self._expected: dict[tuple[str, bytes, int], Answer] = {}  # by method, message and caller

    def compare(self, messages: Sequence[tuple[str, bytes]]) -> list[str]:
        """Sends messages at the same time, each with its oracle, unless that was asked before.

        Returns:
            A line for each difference.
        """
        sent = []
        for method, data in messages:
            self._count += 1
            caller = self._count % len(self._metadata)
            call = self._send(method, data, caller)
            known = (method, data, caller) in self._expected
            prefix = unknown(self._count.to_bytes(8, "little") * 600)
            sent.append((method, data, caller, call, None if known else self._send(method, prefix + data, caller)))
        lines: list[str] = []
        for method, data, caller, call, oracle in sent:
            place = method, data, caller
            expected = _answer(method, oracle) if oracle is not None else self._expected[place]
            if len(self._expected) < REMEMBERED:
                self._expected[place] = expected
            lines += _differences(method, data, _answer(method, call), expected)
        return lines

    def _send(self, method: str, data: bytes, caller: int) -> Any:
        return self._calls[method].future(data, timeout=60, metadata=self._metadata[caller])


def _differences(method: str, data: bytes, got: Answer, expected: Answer) -> Iterator[str]:
    if got.code in ("INTERNAL", "UNKNOWN"):
        yield f"{method} {data.hex()}: {got.code} {got.text}"
    if not got.same_as(expected):
        yield f"{method} {data.hex()}: {got} instead of {expected}"


def _answer(method: str, call: Any) -> Answer:
    if call.exception() is not None:
        return Answer(call.code().name, call.details())
    if method == CLASSIFY:
        response = pb.ClassifyResponse.FromString(call.result())
        values = [[one.probability for one in result.classes] for result in response.results]
        values += [list(one.values) for result in response.results for one in result.statistics]
        labels = [[one.label for one in result.classes] for result in response.results]
        return Answer("OK", f"{response.model} {response.version} {response.id!r} {labels}", values)
    infer = oip.ModelInferResponse.FromString(call.result())
    kinds = [(output.name, output.datatype, list(output.shape)) for output in infer.outputs]
    numbers = [
        np.frombuffer(raw, np.float32)
        for output, raw in zip(infer.outputs, infer.raw_output_contents, strict=True)
        if output.datatype == "FP32"
    ]
    return Answer("OK", f"{infer.model_name} {infer.model_version} {infer.id!r} {kinds}", numbers)


def run(address: str, targets: Sequence[Target], seed: int, tokens: Sequence[str], most: int, seconds: float) -> int:
    """Fuzzes a server until `most` messages were sent or `seconds` have passed. Returns the number sent.

    Raises:
        AssertionError: An answer differs from its oracle's.
    """
    messages, count, end = iter(Messages(targets, seed)), 0, time.monotonic() + seconds
    with grpc.insecure_channel(address) as channel:
        callers = Callers(channel, tokens)
        while count < most and time.monotonic() < end:
            differences = callers.compare([next(messages) for _ in range(IN_FLIGHT)])
            if differences:
                raise AssertionError("\n".join(differences))
            count += IN_FLIGHT
    return count


def targets_of(address: str, names: Sequence[str], token: str | None) -> list[Target]:
    """Asks a server for the models with these names, or for all."""
    import resprobe

    with resprobe.Client(address, token=token) as client:
        found = [one for one in client.models() if not names or one.name in names]
    return [Target(one.name, (one.height, one.width, one.channels), len(one.blocks)) for one in found]


def main(options: Options) -> int:
    """Runs the test for --minutes; returns the exit code."""
    targets = targets_of(options.address, options.model, options.tokens[0] if options.tokens else None)
    try:
        count = run(options.address, targets, options.seed, options.tokens, sys.maxsize, options.minutes * 60)
    except AssertionError as error:
        print(error)
        return 1
    print(f"{count} messages, each compared with its oracle: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
