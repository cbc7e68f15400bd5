"""Exceptions from the address guard are named one by one."""

import pytest

from common.settings import Settings
from tests.support import OWN_SECRET


def made(monkeypatch: pytest.MonkeyPatch, value: str, environment: str = "test") -> Settings:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("SECRET_KEY", OWN_SECRET)
    monkeypatch.setenv("ALLOW_PRIVATE_ADDRESSES", value)
    return Settings(_env_file=None)


def test_places_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, "").allow_private_addresses == ()
    given = made(monkeypatch, " Minio:9000, 10.0.0.5:80,::1:8080 ,")
    assert given.allow_private_addresses == ("minio:9000", "10.0.0.5:80", "::1:8080")


@pytest.mark.parametrize(
    "value", ["*", "*:80", "minio", "10.0.0.0/8", "10.0.0.0/8:80", "http://minio:9000", "a b:80", ":80"]
)
def test_networks_and_wildcards_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        made(monkeypatch, value)


@pytest.mark.parametrize("value", [
    "localhost:80", "127.0.0.1:8000", "127.9.9.9:80", "::1:80", "169.254.169.254:80", "0.0.0.0:80", "app.localhost:80",
    "::ffff:127.0.0.1:80", "metadata.google.internal:80",
])  # fmt: skip
def test_production_refuses_the_machine_itself_and_its_clouds_secrets(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    made(monkeypatch, value)
    with pytest.raises(ValueError, match="not fit for production"):
        made(monkeypatch, value, "production")


def test_production_takes_named_places_in_its_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    given = made(monkeypatch, "minio:9000,10.0.0.5:8080", "production")
    assert given.allow_private_addresses == ("minio:9000", "10.0.0.5:8080")
