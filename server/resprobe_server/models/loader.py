"""Loads versions: opens their graphs, runs each one before it serves, and creates their batchers."""

import operator
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from resprobe_protos import resprobe_pb2 as pb
from resprobe_protos.contract import BLOCKS, EXITS, INSPECT, LEAN, LESION, PROBE

from resprobe_server.config import Config
from resprobe_server.execution.adapters import Padded, Whole
from resprobe_server.execution.graph import Graph, Tensor
from resprobe_server.execution.providers import CPU, batch_sizes, choose, padded_sizes
from resprobe_server.execution.session import Session
from resprobe_server.models import description, exits, views
from resprobe_server.models.repository import Found
from resprobe_server.models.sampling.sampled import watch
from resprobe_server.models.version import EXIT, GRAPHS, INSPECTED, Times, Version
from resprobe_server.scheduling.batcher import Batcher, BatchOptions
from resprobe_server.scheduling.worker import Device
from resprobe_server.validation import declarations, digests, independence, trial, triton_config
from resprobe_server.validation.findings import Findings, conclude

Sessions = Mapping[str, Session]


class Loader:
    """Loads versions onto a device."""

    def __init__(self, config: Config, device: Device) -> None:
        """Chooses the execution provider. Slow; call it on a thread of its own.

        Raises:
            StartError: The configured device cannot be used.
        """
        self._config, self._device = config, device
        self._provider = choose(config)

    def load(self, found: Found) -> Version:
        """Loads a version, runs each of its graphs and checks their outputs. Slow; call it on a thread of its own.

        Raises:
            Exception: Files made elsewhere can fail in any way.
        """
        read = description.read(found.directory)
        files = [file for file in GRAPHS if file not in EXITS and (found.directory / file).is_file()]
        if LEAN not in files:
            raise trial.CheckFailed(f"{LEAN} is not a file")
        digests.check(read, found.directory, [*files, *exits.files(found.directory)])
        sessions, seconds = self._open(found, files)
        declarations.check(read, sessions)
        parts = exits.open_parts(read, found.directory, self._provider)
        findings = self._try(found, sessions)
        classes = 0 if findings.scores is None else findings.scores.shape[1]
        model = description.complete(read, found, None if findings.unclassified else findings.images, classes)
        named = len(model.classes) if model.classes or not findings.unclassified else None
        trial.check(findings.trials, description.shapes(model, named), findings.batched)
        times = {file: Times(seconds[file], trial.seconds) for file, trial in findings.trials.items()}
        version = self._assemble(found, model, sessions, findings, times)
        return version if parts is None else self._add_exits(version, found, parts, findings)

    def _open(self, found: Found, files: Sequence[str]) -> tuple[Sessions, Mapping[str, float]]:
        """Opens graphs. Returns their sessions, and the seconds that each one needed, both by file."""
        sessions, seconds = {}, {}
        for file in files:
            begin = time.perf_counter()
            sessions[file] = Session(found.directory / file, self._provider)
            seconds[file] = time.perf_counter() - begin
        return sessions, seconds

    def _try(self, found: Found, sessions: Sessions) -> Findings:
        """Runs all graphs on the same made-up inputs, and draws the conclusions."""
        lean, configured = sessions[LEAN], triton_config.max_batch_size(found.directory.parent)
        max_batch = min(self._config.max_batch, configured or self._config.max_batch)
        # A graph with an input `image` of bytes was made for this server, which expects a batch as its first axis.
        agreed = configured > 0 if configured is not None else declarations.declared_images(lean) is not None or None
        examined = independence.examine(lean, batch_sizes(self._provider.name, max_batch), agreed)
        trials = {LEAN: examined.trial or trial.Trial({}, {})}
        for file, session in sessions.items():
            bound = examined.batched and session.bind()
            if bound or file != LEAN:
                call = self._device.call if bound else operator.call
                trials[file] = trial.run_recorded(session, tuple(trials[LEAN].seconds), examined.sample, call)
        return conclude(lean, examined, trials, configured, max_batch)

    def _assemble(
        self, found: Found, model: pb.Model, sessions: Sessions, findings: Findings, times: Mapping[str, Times]
    ) -> Version:
        provider, lean = self._provider.name, sessions[LEAN]
        blocks, scales, inspected = PROBE in sessions, LESION in sessions, _inspected(sessions)
        model.serving.CopyFrom(
            pb.Serving(
                provider=provider,
                has_blocks=blocks,
                has_block_scale=scales,
                max_batch=findings.max_batch,
                views=views.answered([*([BLOCKS] if blocks else []), *inspected]),
                digest=description.digest(model),
            )
        )
        config, graphs = self._config, {file: self._batched(sessions[file], findings) for file in sessions}
        share = config.ratio_sample if config.metrics_address else 0.0
        watched, sampled = watch(model, graphs, share, self._device.when_idle)
        batchers = {file: self._batcher(file, found, watched[file], sessions[file], findings) for file in sessions}
        return Version(
            description=model,
            number=found.number,
            format=description.images(model, findings.images),
            unclassified=findings.unclassified,
            probabilities=findings.probabilities,
            inputs=_tensors(lean.inputs, findings.batched),
            outputs=_tensors(lean.outputs, findings.batched),
            batched=findings.batched,
            batchers=batchers,
            times=times,
            inspected=inspected,
            sampled=sampled,
            notes=tuple(findings.notes),
        )

    def _add_exits(self, version: Version, found: Found, parts: exits.Parts, findings: Findings) -> Version:
        """Returns the version with its parts as a graph of its own."""
        joined = exits.join(parts, partial(self._batched, findings=findings), findings)
        times = {**version.times, EXIT: Times(parts.seconds, joined.seconds)}
        batcher = self._batcher(EXIT, found, joined.graph, parts.sessions[0], findings)
        return replace(version, batchers={**version.batchers, EXIT: batcher}, times=times, cascade=joined.graph)

    def _batched(self, session: Session, findings: Findings) -> Graph:
        """Returns a graph that runs batches of any size up to the largest one."""
        if not findings.batched:
            return Whole(session)
        if session.fixed > 1:
            return Padded(session, (session.fixed,))
        if self._provider.name != CPU:
            return Padded(session, padded_sizes(self._provider, session.recorded, findings.max_batch))
        return session

    def _batcher(self, file: str, found: Found, graph: Graph, session: Session, findings: Findings) -> Batcher:
        config = self._config
        options = BatchOptions(
            findings.max_batch,
            config.max_queue,
            max_wait=config.max_wait / 1000,
            urgent=file in (LEAN, EXIT),
            name=f"{found.name}/{found.number}/{GRAPHS[file]}",
            uniform=all(None not in tensor.shape[1:] for tensor in session.inputs),
        )
        return self._device.batcher(graph, options)


def _inspected(sessions: Sessions) -> dict[str, Tensor]:
    """Returns the outputs that inspect.onnx alone has, by name; none if there is no such graph."""
    outputs = sessions[INSPECT].outputs if INSPECT in sessions else ()
    return {tensor.name: tensor for tensor in outputs if tensor.name in INSPECTED}


def _tensors(tensors: Sequence[Tensor], batched: bool) -> dict[str, Tensor]:
    """Returns tensors by name, as requests see them: a fixed batch size of the graph is hidden."""
    return {tensor.name: tensor.of_any_rows() if batched else tensor for tensor in tensors}
