from __future__ import annotations

import pytest

from realtime_core.hosts import is_address, is_loopback_host


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_these_always_mean_this_machine(host: str):
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.example", "notlocalhost", "10.0.0.1", "::", "127.0.0.1.x"]
)
def test_these_may_mean_another(host: str):
    assert not is_loopback_host(host)


def test_addresses_are_told_from_names():
    assert [host for host in ("::1", "1.2.3.4", "a.b", "") if is_address(host)] == [
        "::1",
        "1.2.3.4",
    ]
