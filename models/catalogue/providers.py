"""Providers as the catalogue names them: where each is, under which key, and how much it may be asked."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator
from pydantic import Field as Limit
from sqlalchemy import Column, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from common.addresses import place_of
from common.hosts import is_metadata
from models.columns import created_at

BUILT_IN = "sketch"  # needs no section: it is in the house
ADAPTERS = ("openai", "replicate", "fal", "cog", "http", "sketch")
_VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]{0,99}$")
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_SECRET_NAME = re.compile(r"secret|token|password|key|authorization|credential", re.IGNORECASE)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    """The names of options that hold what looks like a secret. Numbers (`max_tokens`) are none."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in _secrets(value))
        elif isinstance(value, str) and _SECRET_NAME.search(name) and not _VARIABLE.match(value):
            yield name


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """How much a provider may be asked, and when it is rested. None: no limit."""

    concurrency: int | None = None
    per_minute: int | None = None
    faults: int = 5  # so many within the window open the circuit
    window_seconds: float = 60
    rest_seconds: float = 30  # the first rest; doubled while the probe after it fails
    rest_max_seconds: float = 600


class ProviderRow(SQLModel, table=True):
    """A provider that routes name. Not versioned: a running job asks where its provider is now, not where it was."""

    __tablename__ = "providers"

    name: str = Field(primary_key=True, sa_type=Text)
    entry: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    updated_at: datetime = created_at()


class ProviderEntry(BaseModel):
    """A `[providers.NAME]` of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Limit(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")
    adapter: Literal["openai", "replicate", "fal", "cog", "http", "sketch"]
    base_url: str | None = Limit(None, pattern=r"^https?://[^\s@]+[^/\s@]$", description="No slash at the end.")
    key: str | None = Limit(None, description="The name of the environment variable that holds the key.")
    options: dict[str, Any] = {}
    concurrency: int | None = Limit(None, ge=1, le=10_000)
    per_minute: int | None = Limit(None, ge=1, le=10_000)
    daily_usd_micros: int | None = Limit(None, ge=1, le=10**15, description="A day of UTC may cost so much.")
    faults: int = Limit(5, ge=1, le=1000)
    window_seconds: float = Limit(60, gt=0, le=3600)
    rest_seconds: float = Limit(30, gt=0, le=3600)
    rest_max_seconds: float = Limit(600, gt=0, le=86_400)

    @field_validator("key")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.match(value):
            # Never repeat the value: it may be the secret itself.
            raise ValueError('the name of an environment variable such as "OPENAI_API_KEY", never the secret itself')
        return value

    @field_validator("base_url")
    @classmethod
    def _leads_elsewhere(cls, value: str | None) -> str | None:
        if value is not None and is_metadata(urlsplit(value).hostname or ""):
            raise ValueError("this is where a cloud keeps its machines' secrets, and no provider")
        return value

    @field_validator("options")
    @classmethod
    def _holds_no_secret(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in _secrets(value):
            raise ValueError(f"{name}: give the name of an environment variable, never a secret itself")
        return value

    @field_validator("options")
    @classmethod
    def _lists_its_hosts(cls, value: dict[str, Any]) -> dict[str, Any]:
        """`hosts`: where else its results lie, if that is in your own network; one place each, so that no more is opened
        than was meant.
        """
        hosts = value.get("hosts", [])
        named = [
            isinstance(each, str) and _PLACE.fullmatch(each) is not None and place_of(f"https://{each}") is not None
            for each in (hosts if isinstance(hosts, list) else [None])
        ]
        if not all(named):
            raise ValueError('hosts: a list of host or host:port such as ["minio:9000"]; no scheme, path or wildcard')
        return value

    @property
    def limits(self) -> ProviderLimits:
        """What of this concerns how much it is asked."""
        return ProviderLimits(
            self.concurrency, self.per_minute, self.faults, self.window_seconds, self.rest_seconds,
            max(self.rest_seconds, self.rest_max_seconds),
        )  # fmt: skip

    def secret(self, environment: Mapping[str, str]) -> SecretStr | None:
        """The key itself. None: the provider has none, or the variable is not set here."""
        value = environment.get(self.key) if self.key else None
        return SecretStr(value) if value else None

    def options_with_secrets(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """The options, with the values of the variables that they name instead of the names."""
        return _filled(self.options, environment)


def _filled(options: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    found = dict(options)
    for name, value in options.items():
        if isinstance(value, Mapping):
            found[name] = _filled(value, environment)
        elif isinstance(value, str) and _SECRET_NAME.search(name) and _VARIABLE.match(value):
            found[name] = environment.get(value)
    return found


def providers(conn: Connection[Any]) -> dict[str, ProviderEntry]:
    """The providers by name, the built-in one included."""
    rows = conn.execute("select name, entry from providers order by name").fetchall()
    known = {BUILT_IN: ProviderEntry(name=BUILT_IN, adapter="sketch")}
    return known | {name: ProviderEntry.model_validate({**entry, "name": name}) for name, entry in rows}


def apply(conn: Connection[Any], entries: Iterable[ProviderEntry]) -> dict[str, str]:
    """Write these providers. One that left the file stays: jobs under way still name it. Returns "new" or "changed"."""
    stored = dict(conn.execute("select name, entry from providers for update").fetchall())
    changes: dict[str, str] = {}
    for entry in entries:
        body = entry.model_dump(mode="json", exclude={"name"})
        if stored.get(entry.name) == body:
            continue
        changes[entry.name] = "changed" if entry.name in stored else "new"
        conn.execute(
            """insert into providers (name, entry) values (%s, %s::jsonb)
               on conflict (name) do update set entry = excluded.entry, updated_at = app_now()""",
            [entry.name, orjson.dumps(body).decode()],
        )
    return changes
