"""Addresses that stay on this machine, and those that leave it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resprobe._wire.address import is_loopback


@pytest.mark.parametrize(
    "address",
    [
        *("localhost:1", "LOCALHOST:1", "127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "::1", "[::ffff:127.0.0.1]:1"),
        *("unix:/run/a", "unix:///run/a", "unix-abstract:a", "dns:localhost:1", "dns:///localhost:1"),
        *("ipv4:127.0.0.1:1,127.0.0.2:1", "ipv6:[::1]:1"),
    ],
)
def test_what_stays_on_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0:1", "[::]:1", ":1", "", "host:1", "10.0.0.1:1", "127.0.0.1.evil.com:1", "localhost.evil.com:1"),
        *("127.0.0.1%2eevil.com:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "dns://127.0.0.1/evil.com:1", "vsock:1:1"),
        *("[::ffff:10.0.0.1]:1", "xds:///localhost:1", "dns:evil.com:1"),
    ],
)
def test_what_leaves_this_machine(address: str) -> None:
    assert not is_loopback(address)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=4, network="127.0.0.0/8"), st.integers(1, 65535))
def test_an_ip_address_is_loopback_however_it_is_written(ip: Any, port: int) -> None:
    expected = str(ip).startswith("127.")
    for written in (f"{ip}:{port}", f"ipv4:{ip}:{port}", f"dns:///{ip}:{port}", f"[::ffff:{ip}]:{port}"):
        assert is_loopback(written) == expected
