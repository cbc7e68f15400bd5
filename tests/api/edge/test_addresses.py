"""Where a request comes from: what is counted as one address, and whose word is believed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import httpx
import pytest
from pydantic import ValidationError

from api.edge.addresses import UNKNOWN, address_of, network_of
from cli.embedded.servers import free_ports
from common.settings import Settings
from models.access import api_keys
from tests.support import account, eventually, key_of, one, status


@pytest.mark.parametrize(("this", "other", "same"), [
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
    ("2001:DB8:1:2::1", "2001:db8:1:2::9%eth0", True),
    ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ("192.0.2.1", "::ffff:192.0.2.1", True),
    ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ("192.0.2.1", "192.0.2.2", False),
    ("testclient", "testclient", True),
    ("x" * 64 + "1", "x" * 64 + "2", True),
    ("::1", "127.0.0.1", False),
])  # fmt: skip
def test_an_ipv6_network_is_one_address_and_an_ipv4_address_is_one_however_it_is_written(
    this: str, other: str, same: bool
) -> None:
    assert (network_of({"client": (this, 1)}) == network_of({"client": (other, 2)})) is same


def test_where_nobody_says_it_there_is_no_address() -> None:
    for scope in ({}, {"client": None}, {"client": ("", 0)}):
        assert (address_of(scope), network_of(scope)) == (None, UNKNOWN)


@pytest.mark.parametrize("proxies", ["*", "10.0.0.0/33", "proxy.example", "10.0.0.1/8"])
def test_a_proxy_that_cannot_be_listed_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, proxies: str) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", proxies)
    with pytest.raises(ValidationError):
        Settings(_env_file=None)


@contextmanager
def served(proxies: str) -> Iterator[str]:
    """A real API process behind proxies that it believes."""
    port = free_ports(1)[0]
    given = {"API_PORT": str(port), "TRUSTED_PROXIES": proxies, "FAILED_AUTH_PER_MINUTE": "2"}
    process = subprocess.Popen([sys.executable, "-m", "api"], env={**os.environ, **given})
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return status(f"{url}/healthz", seconds=5) == 200
        except (OSError, HTTPException):
            return False

    try:
        eventually(up, seconds=60, what="the API")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def failures(url: str, forwarded: list[str]) -> list[int]:
    return [
        httpx.get(
            f"{url}/v1/credits", headers={"authorization": f"Bearer {api_keys.make_secret()}", "x-forwarded-for": each}
        ).status_code
        for each in forwarded
    ]


def test_forwarded_addresses_are_believed_from_listed_proxies_only(database: str) -> None:
    who = account()
    with served("") as url:
        assert failures(url, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) == [401, 401, 429]
    with served("10.0.0.0/8, 127.0.0.1") as url:
        for each in ("192.0.2.1", "2001:db8::1", "192.0.2.9, 10.1.2.3"):
            assert failures(url, [each] * 3) == [401, 401, 429]
        assert failures(url, ["2001:db8::2", "::ffff:192.0.2.1"]) == [429, 429]
        # What a client says itself stands further left than what the proxy adds, and is not looked at.
        assert (
            failures(url, ["198.51.100.1, 192.0.2.77", "198.51.100.2, 192.0.2.77", "198.51.100.3, 192.0.2.77"])[-1]
            == 429
        )
        made = httpx.post(
            f"{url}/v1/keys", json={"name": "x"},
            headers={"authorization": f"Bearer {key_of(who)}", "x-forwarded-for": "203.0.113.5"},
        )  # fmt: skip
        assert made.status_code == 201
    assert one("select address from acts") == ("203.0.113.5",)
