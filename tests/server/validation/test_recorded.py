"""A graph that CUDA cannot record runs without CUDA graphs, and other errors stay errors.

No machine that runs the tests has a GPU: a session on the CPU stands in, whose recorded runs fail as CUDA's do.
"""

from pathlib import Path

import pytest
from resprobe_server.execution.graph import Arrays
from resprobe_server.execution.providers import CUDA, Provider, padded_sizes
from resprobe_server.execution.session import Session
from resprobe_server.validation import trial
from resprobe_server.validation.samples import Sample


class Recorded(Session):
    """Session that claims to be recorded, and then refuses to run."""

    def __init__(self, path: Path, recorded: bool) -> None:
        super().__init__(path, Provider(threads=1))
        self.recorded, self.fails = recorded, True

    def run(self, inputs: Arrays) -> Arrays:
        if self.fails:
            raise RuntimeError("CUDA Concat supports at most 32 inputs during CUDA Graph capture")
        return super().run(inputs)

    def bind_unrecorded(self, reason: Exception) -> None:
        self.recorded = self.fails = False


def test_a_graph_that_cannot_be_recorded_runs_unrecorded(repository: Path) -> None:
    session = Recorded(repository / "digits" / "1" / "model.onnx", recorded=True)
    found = trial.run_recorded(session, (1, 2), Sample())
    assert not session.recorded
    assert list(found.seconds) == [1, 2]
    assert found.outputs["logits"].shape[0] == 2


def test_another_error_is_raised(repository: Path) -> None:
    session = Recorded(repository / "digits" / "1" / "model.onnx", recorded=False)
    with pytest.raises(RuntimeError, match="at most 32"):
        trial.run_recorded(session, (1, 2), Sample())


def test_without_recording_batches_on_cuda_have_one_size() -> None:
    assert padded_sizes(Provider(CUDA), recorded=False, max_batch=24) == (24,)
    assert padded_sizes(Provider(CUDA), recorded=True, max_batch=24) == (1, 2, 4, 8, 16, 24)
