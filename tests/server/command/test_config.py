"""Sources of the configuration: their order, and the errors for wrong values."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe.errors import Error
from resprobe_server import config_sources
from resprobe_server.__main__ import main
from resprobe_server.config import RANGES, Config
from resprobe_server.errors import StartError

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field. If None, the field is not set."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0])).map(tuple)
    if type(None) in get_args(kind):
        return st.none() | st.one_of(*(values(one) for one in get_args(kind) if one is not type(None)))
    known: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
        str: TEXT,
        Path: TEXT.map(Path),
    }
    return known[kind]


@given(st.fixed_dictionaries({name: values(kind) for name, kind in config_sources.KINDS.items()}))
def test_what_is_printed_is_read_again(tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "server.toml"
    path.write_bytes(config_sources.to_toml(Config(**wanted)).encode())
    assert Config(**config_sources.read(["--config", str(path)], {})) == Config(**wanted)


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    monkeypatch.setattr("sys.argv", ["resprobe-server", *arguments, "--print-config"])
    main()
    return capsys.readouterr().out.splitlines()


def test_flags_go_before_environment_before_file_before_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "server.toml"
    file.write_text('max_batch = 1\nmax_queue = 1\nmax_wait = 1\nload = ["x"]\nrepository = "elsewhere"\n')
    monkeypatch.setenv("RESPROBE_SERVER_MAX_BATCH", "2")
    monkeypatch.setenv("RESPROBE_SERVER_MAX_QUEUE", "2")
    monkeypatch.setenv("RESPROBE_SERVER_DEVICE", "cpu")
    lines = printed(capsys, monkeypatch, "--config", str(file), "--max-batch", "3", "--load", "a", "b")
    default = [f"threads = {Config().threads}", f'address = "{Config().address}"']
    expected = ["max_batch = 3", "max_queue = 2", "max_wait = 1.0", 'repository = "elsewhere"', 'device = "cpu"']
    assert {*default, *expected} <= set(lines)
    assert [line.strip(' ",') for line in lines if line.startswith("  ")][:2] == ["a", "b"]


def test_the_environment_may_name_the_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, count in (("one", 1), ("two", 2)):
        (tmp_path / name).write_text(f"threads = {count}")
    monkeypatch.setenv("RESPROBE_SERVER_CONFIG", str(tmp_path / "one"))
    assert "threads = 1" in printed(capsys, monkeypatch)
    assert "threads = 2" in printed(capsys, monkeypatch, f"--config={tmp_path / 'two'}")


def test_every_field_can_be_set_in_the_environment() -> None:
    texts: dict[Any, tuple[str, Any]] = {
        int: ("7", 7),
        float: ("7", 7.0),
        bool: ("true", True),
        str: ("7", "7"),
        Path: ("7", Path("7")),
    }
    for field in fields(Config):
        kind = config_sources.KINDS[field.name]
        if get_origin(kind) is Literal:
            text, expected = get_args(kind)[-1], get_args(kind)[-1]
        elif get_origin(kind) is tuple:
            text, expected = "a, b", ("a", "b")
        else:
            text, expected = texts[next((one for one in get_args(kind) if one is not type(None)), kind)]
        assert config_sources.read([], {f"RESPROBE_SERVER_{field.name.upper()}": text}) == {field.name: expected}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_bach = 1", "max_bach is not known; did you mean max_batch?"),
        ("zzz = 1", "zzz is not known; known are repository, mode, load, "),
        ('max_batch = "8"', "max_batch is '8'; expected a whole number"),
        ("max_batch = 8.0", "max_batch is 8.0; expected a whole number"),
        ("max_batch = true", "max_batch is True; expected a whole number"),
        ("max_wait = false", "max_wait is False; expected a number"),
        ("repository = 7", "repository is 7; expected a path"),
        ('mode = "polling"', "mode is 'polling'; expected one of watch, explicit, once"),
        ('load = "a"', "load is 'a'; expected a list of text"),
        ('load = ["a", 1]', "load is ['a', 1]; expected a list of text"),
        ("[server]", "server is not known; "),
        ("max_batch", "is not TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(line)
    with pytest.raises(Error) as error:
        config_sources.read([f"--config={path}"], {})
    assert str(path) in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("MAX_BATCH", "many", "RESPROBE_SERVER_MAX_BATCH is 'many'; expected a whole number"),
        ("MAX_BATCH", "", "RESPROBE_SERVER_MAX_BATCH is ''; expected a whole number"),
        ("MAX_BATCH", "8\nx = 1", "expected a whole number"),
        ("MODE", "Watch", "RESPROBE_SERVER_MODE is 'Watch'; expected one of watch, explicit, once"),
        ("MAX_BACH", "8", "RESPROBE_SERVER_MAX_BACH is not known; did you mean RESPROBE_SERVER_MAX_BATCH?"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(variable: str, text: str, message: str) -> None:
    with pytest.raises(Error) as error:
        config_sources.read([], {f"RESPROBE_SERVER_{variable}": text})
    assert message in str(error.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Error, match="cannot be read: No such file"):
        config_sources.read(["--config", str(tmp_path / "none")], {})


def test_what_kubernetes_says_of_a_service_of_our_name_is_not_for_us() -> None:
    prefix = "RESPROBE_SERVER_"
    names = "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_50051_TCP_ADDR"
    assert config_sources.read([], {"HOME": "/", **{f"{prefix}{name}": "tcp://10.0.0.1:50051" for name in names}}) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "max_batch is 0; expected 1 or more"),
        ({"threads": -1}, "threads is -1; expected 0 or more"),
        ({"ratio_sample": 1.5}, "ratio_sample is 1.5; expected 0 to 1"),
    ],
    ids=str,
)
def test_a_number_out_of_its_range_is_refused(options: dict[str, Any], message: str) -> None:
    Config().check()
    with pytest.raises(StartError, match=message):
        Config(**options).check()


def test_every_number_has_a_range() -> None:
    numbers = {field.name for field in fields(Config) if type(field.default) in (int, float)}
    assert numbers == set(RANGES)


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0), ("4096", 4096), ("1.5KiB", 1536), ("512 MiB", 512 << 20), ("4GiB", 4 << 30)]
)
def test_an_amount_of_memory_is_read(text: str, expected: int) -> None:
    config = Config(max_memory=text)
    config.check()
    assert config.memory_limit == expected


@pytest.mark.parametrize("text", ["4GB", "much", "0", "-1", "0.1"])
def test_an_amount_of_memory_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(
        StartError, match=f"max_memory is '{text}'; expected a number of bytes, or such as 512MiB or 4GiB"
    ):
        Config(max_memory=text).check()
