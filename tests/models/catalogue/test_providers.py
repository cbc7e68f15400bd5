"""Providers in the catalogue: read, refused, kept."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models.catalogue import entries
from models.catalogue.providers import ProviderEntry, ProviderLimits, providers
from models.db import transaction
from tests.support import one

MODEL = """
[models.x]
name = "x"
kind = "image"
price = { credits = 1 }
routes = [{ provider = "%s", model = "m" }]
input_schema = { type = "object", additionalProperties = false }
"""


def entry(**fields: Any) -> ProviderEntry:
    return ProviderEntry.model_validate({"name": "p", "adapter": "http", **fields})


@pytest.mark.parametrize("fields", [
    {"key": "sk-proj-abcdef"}, {"key": "r8_abc"}, {"key": ""}, {"adapter": "ftp"}, {"concurrency": 0}, {"per_minute": 0},
    {"base_url": "https://host/"}, {"base_url": "host"}, {"base_url": "https://user:word@host"}, {"colour": 1},
    {"options": {"api_key": "sk-abc"}}, {"options": {"headers": {"Authorization": "Bearer abc"}}}, {"rest_seconds": 0},
])  # fmt: skip
def test_a_provider_that_is_not_well_written_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        entry(**fields)


def test_a_key_is_read_from_the_environment_that_is_there() -> None:
    secret = entry(key="MY_KEY", options={"max_tokens": 5, "organization": "o", "token": "MY_TOKEN"}).secret
    found = secret({"MY_KEY": "s3cret"})
    assert found is not None
    assert found.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(found)
    assert secret({}) is None
    assert entry().secret({"None": "x"}) is None


def test_limits_are_those_of_the_section() -> None:
    assert entry().limits == ProviderLimits()
    assert entry(concurrency=3, per_minute=60, faults=2, rest_seconds=900).limits == ProviderLimits(
        concurrency=3, per_minute=60, faults=2, rest_seconds=900, rest_max_seconds=900
    )


def test_a_route_to_an_unknown_provider_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(MODEL % "p")
    with pytest.raises(ValueError, match=re.escape("models.x.routes.0.provider: there is no [providers.p]")):
        entries.read_file(path)
    path.write_text(MODEL % "sketch")
    assert entries.read_file(path).providers == []
    path.write_text(MODEL % "p" + '[providers.p]\nadapter = "cog"\nbase_url = "http://127.0.0.1:5000"\n')
    assert entries.read_file(path).providers[0].adapter == "cog"


@pytest.mark.usefixtures("database")
def test_providers_are_written_with_the_models_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(MODEL % "p" + '[providers.p]\nadapter = "http"\nper_minute = 9\n')
    file = entries.read_file(path)
    with pytest.raises(RuntimeError), transaction() as conn:
        entries.apply(conn, file.models, file.providers)
        raise RuntimeError
    with transaction() as conn:
        assert list(providers(conn)) == ["sketch"]
        assert entries.apply(conn, file.models, file.providers) == {"providers.p": "new", "x": "new"}
    with transaction() as conn:
        assert entries.apply(conn, file.models, file.providers) == {}
        assert providers(conn)["p"] == file.providers[0]
        changed = file.providers[0].model_copy(update={"per_minute": 10})
        assert entries.apply(conn, file.models, [changed]) == {"providers.p": "changed"}
        assert entries.apply(conn, file.models) == {}  # one that left the file stays: jobs under way name it
        assert providers(conn)["p"].limits.per_minute == 10
    assert one("select count(*) from providers") == (1,)


def test_the_standard_file_stands_with_all_its_providers_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(re.sub(r"^#:(?: |$)", "", entries.STANDARD_FILE.read_text(), flags=re.MULTILINE))
    file = entries.read_file(path)
    assert {each.name for each in file.providers} == {"openai", "openrouter", "replicate", "fal"}
    assert {each.kind for each in file.models} == {"image", "video", "speech", "text"}
    used = {route.provider for each in file.models for route in each.routes}
    assert used == {"sketch", "openai", "openrouter", "replicate", "fal"}


def test_the_standard_file_as_it_is_needs_no_provider_and_has_the_prices_of_the_spec() -> None:
    file = entries.read_file(entries.STANDARD_FILE)
    assert file.providers == []
    fixed = {each.id: each.price.credits for each in file.models}
    prices = [fixed[name] for name in ("dall-e-3", "stable-diffusion", "dall-e-2", "flux-schnell")]
    assert prices == [5, 3, 2, 1]
