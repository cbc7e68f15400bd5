"""A worker's list of providers follows the catalogue, and an attempt is asked for with the right key."""

import pytest
from pydantic import SecretStr

from common.errors import InvalidInput, NotFound
from common.settings import settings
from models.catalogue import provider_keys, providers
from models.catalogue.providers import ProviderEntry
from models.db import transaction
from tests.support import account
from workers.calls.roster import Roster
from workers.providers.base import Endpoint, ProviderError
from workers.providers.registry import ADAPTERS

pytestmark = pytest.mark.usefixtures("database")


def put(**fields: object) -> None:
    with transaction() as conn:
        providers.apply(conn, [ProviderEntry.model_validate({"adapter": "sketch", **fields})])


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOGUE_REFRESH_SECONDS", "0.000001")
    settings.cache_clear()


def test_a_provider_is_made_once_and_an_unknown_one_is_named() -> None:
    roster = Roster()
    assert roster.find("sketch").provider is roster.find("sketch").provider
    with pytest.raises(ProviderError, match="charcoal") as caught:
        roster.find("charcoal")
    assert caught.value.elsewhere
    assert roster.limits("charcoal").concurrency is None


@pytest.mark.usefixtures("_at_once")
def test_a_changed_entry_is_seen_and_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Endpoint] = []
    monkeypatch.setitem(ADAPTERS, "openai", lambda endpoint: made.append(endpoint) or endpoint)
    monkeypatch.setenv("SOME_KEY", "sk-one")
    roster = Roster()
    entry = {"name": "router", "adapter": "openai", "base_url": "http://x/v1", "key": "SOME_KEY", "concurrency": 3}
    put(**entry, options={"webhook_secret": "NOT_SET", "referer": "here"})
    assert roster.find("router").provider is roster.find("router").provider
    assert roster.limits("router").concurrency == 3
    put(**{**entry, "base_url": "http://y/v1"})
    assert roster.find("router").has_key
    assert [(each.base_url, each.api_key) for each in made] == [("http://x/v1", "sk-one"), ("http://y/v1", "sk-one")]
    assert made[0].options == {"webhook_secret": None, "referer": "here"}
    assert "sk-one" not in repr(made)
    put(**{**entry, "key": "NOT_SET"})
    assert not roster.find("router").has_key


def test_a_users_own_key_is_kept_encrypted_and_shown_by_its_end() -> None:
    who, other = account(), account()
    put(name="router")
    with transaction() as conn:
        provider_keys.save(conn, who, "router", SecretStr("sk-first-secret"))
        provider_keys.save(conn, who, "router", SecretStr("sk-other-secret-9999"))
        assert provider_keys.providers_of(conn, who) == {"router"}
        assert [each.hint for each in provider_keys.shown(conn, who)] == ["9999"]
        assert provider_keys.providers_of(conn, other) == set()
        assert provider_keys.shown(conn, other) == []
        raw = conn.execute("select secret from provider_keys").fetchone()
    assert raw is not None
    assert b"secret" not in bytes(raw[0])
    found = provider_keys.unsealed(raw[0])
    assert found is not None
    assert found.get_secret_value() == "sk-other-secret-9999"
    with transaction() as conn, pytest.raises(NotFound):
        provider_keys.save(conn, who, "nobody", SecretStr("sk-first-secret"))
    with transaction() as conn, pytest.raises(InvalidInput):
        provider_keys.save(conn, who, "router", SecretStr("short"))
    with transaction() as conn, pytest.raises(NotFound):
        provider_keys.remove(conn, other, "router")
    with transaction() as conn:
        provider_keys.remove(conn, who, "router")
        assert provider_keys.providers_of(conn, who) == set()


def test_a_key_saved_under_another_secret_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    who = account()
    put(name="router")
    with transaction() as conn:
        provider_keys.save(conn, who, "router", SecretStr("sk-first-secret"))
        raw = conn.execute("select secret from provider_keys").fetchone()
    assert raw is not None
    monkeypatch.setenv("SECRET_KEY", "another secret key of this deployment, long enough")
    settings.cache_clear()
    assert provider_keys.unsealed(raw[0]) is None
