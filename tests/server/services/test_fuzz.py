"""No message changes the answers of another client: 20,000 random ones against a plain oracle (benchmarks/fuzz.py)."""

import hashlib
from pathlib import Path

from fuzz import run, targets_of
from support.server_process import start

MESSAGES = 20_000
TOKENS = "a" * 32, "b" * 32
RIGHTS = ["classify", "analyse"], ["classify"]


def test_random_messages_of_two_callers_with_different_rights(repository: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tables = [
        f'[{token[0]}]\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\nrights = {rights}\n'
        for token, rights in zip(TOKENS, RIGHTS, strict=True)
    ]
    tokens.write_text("".join(tables).replace("'", '"'))
    with start(repository, "--device", "cpu", "--threads", "1", "--tokens", str(tokens)) as server:
        targets = targets_of(server.address, ("digits", "colour"), TOKENS[0])
        assert len({target.shape for target in targets}) == 2
        assert run(server.address, targets, seed=1, tokens=TOKENS, most=MESSAGES, seconds=float("inf")) >= MESSAGES
