"""Every setting, read once from the environment, then from `.env`, then from what `headrace up` wrote."""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEVELOPMENT_SECRET = "development-only-secret-key"  # noqa: S105 - refused in production below

ENV_FILES = (".headrace/env", ".env")


class Settings(BaseSettings):
    """One deployment's configuration. Each field is an environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(env_file=ENV_FILES, extra="ignore", frozen=True)

    environment: Literal["development", "test", "production"] = "development"
    secret_key: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="Signs the permanent addresses of results."
    )

    database_url: str = Field("postgresql://app@127.0.0.1:5432/headrace", description="PostgreSQL 15 or newer.")
    database_pool_size: int = Field(8, ge=2, le=200, description="Connections per process.")
    redis_url: str = "redis://127.0.0.1:6379/0"

    s3_endpoint_url: str | None = Field(None, description="Empty for AWS itself.")
    s3_region: str = "us-east-1"
    s3_bucket: str = "headrace"
    s3_access_key_id: str | None = Field(None, description="Empty: the machine's own role.")
    s3_secret_access_key: SecretStr | None = None
    s3_path_style: bool = Field(True, description="False for AWS and R2 with virtual hosts.")

    public_url: str = Field("http://127.0.0.1:8000", description="Where clients reach the API; no slash at the end.")
    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535)
    max_body_bytes: int = Field(1_048_576, ge=1024)
    page_size_max: int = Field(100, ge=1, le=1000)
    catalogue_refresh_seconds: float = Field(5.0, gt=0, description="How soon an API process sees a new catalogue.")
    key_cache_seconds: float = Field(3.0, ge=0, le=5, description="How long a revoked key may still pass in a process.")

    idempotency_key_hours: int = Field(24, ge=1)
    result_hours: int = Field(24, ge=1, description="How long results are kept, unless the model says otherwise.")
    allow_private_addresses: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="host:port,host:port: places in your own network that users' addresses may lead to."
    )
    signed_link_seconds: int = Field(900, ge=1, description="Longest life of a presigned link to an object.")
    grant_grace_hours: int = Field(24, ge=0, description="Life of credits returned to a grant that has expired.")
    default_plan: str = "free"

    worker_threads: int = Field(8, ge=1, le=64)
    lease_seconds: float = Field(60.0, ge=1, description="A step's right lapses after this long without a heartbeat.")
    max_rescues: int = Field(5, ge=1)
    reconcile_seconds: float = Field(3600.0, ge=1, description="How long an unknown outcome is waited for.")
    retry_base_seconds: float = Field(2.0, gt=0)
    retry_max_seconds: float = Field(300.0, gt=0)
    ring_again_seconds: float = Field(15.0, ge=0.1, description="First pause before a job's message is sent again.")
    scheduler_tick_seconds: float = Field(0.2, ge=0.01)
    stray_seconds: float = Field(86_400, ge=0, description="Age at which an object that is nobody's result is deleted.")
    max_result_bytes: int = Field(2_147_483_648, ge=1024, description="Largest single result taken from a provider.")

    deliver_threads: int = Field(32, ge=2, le=256, description="Deliveries under way at once, per sending process.")
    deliver_per_account: int = Field(
        8, ge=1, description="Of them, at most so many for one account, over all processes."
    )
    deliver_poll_seconds: float = Field(0.25, ge=0.01, description="How often an idle sender looks for what is due.")
    webhook_endpoints_max: int = Field(20, ge=1, le=1000, description="Endpoints per account.")
    webhook_timeout_seconds: float = Field(15.0, ge=0.1, le=60, description="For one delivery, to its answer's end.")
    webhook_retry_scale: float = Field(1.0, gt=0, description="Multiplies the pauses between attempts; for tests.")
    webhook_disable_hours: float = Field(120.0, gt=0, description="An endpoint that fails for so long is disabled.")
    webhook_rotation_hours: float = Field(24.0, ge=0, description="How long an old secret signs besides the new one.")
    smtp_url: SecretStr | None = Field(
        None, description="smtp://, smtp+starttls:// or smtps://user:password@host:port. Without it no mail is sent."
    )
    mail_from: str = Field("Headrace <no-reply@localhost>", description="Sender of mail.")
    notification_days: int = Field(90, ge=1, description="How long in-app notifications are kept.")

    callback_url: str | None = Field(
        None, description="Where providers reach the API; they are polled without it. No slash at the end."
    )
    sketch_book: str | None = Field(None, description="File in which sketch, the built-in provider, keeps its book.")
    clock_offset_seconds: int = Field(0, description="Shifts app_now(); for tests, refused in production.")

    @field_validator("allow_private_addresses", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        return tuple(text.strip().lower() for text in given.split(",") if text.strip())

    @field_validator("allow_private_addresses")
    @classmethod
    def _named(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        """One host at one port each: no network, no wildcard, so that nobody opens more than they meant to."""
        for place in places:
            if not re.fullmatch(r"([a-z0-9._-]+|[0-9a-f:]*:[0-9a-f:.]*):[0-9]{1,5}", place):
                raise ValueError(f"{place!r} is not host:port")
        return places

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if self.environment != "production":
            return self
        wrong = []
        if self.secret_key.get_secret_value() == DEVELOPMENT_SECRET or len(self.secret_key.get_secret_value()) < 32:
            wrong.append(
                "SECRET_KEY must be at least 32 characters of your own (python -c 'import secrets; print(secrets.token_hex(32))')"
            )
        if self.clock_offset_seconds:
            wrong.append("CLOCK_OFFSET_SECONDS must not be set")
        if os.environ.get("HEADRACE_FAULT_POINT"):
            wrong.append("HEADRACE_FAULT_POINT must not be set")
        wrong += [
            f"ALLOW_PRIVATE_ADDRESSES must not name {place}: every user could speak to this machine, or to its cloud"
            for place in self.allow_private_addresses
            if _is_own(place.rpartition(":")[0])
        ]
        if wrong:
            raise ValueError("not fit for production: " + "; ".join(wrong))
        return self


def _is_own(host: str) -> bool:
    """Whether a host is the machine itself, or the place where its cloud keeps its secrets."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.rstrip(".") in {"localhost", "metadata", "metadata.google.internal"} or host.endswith(".localhost")
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or address.is_unspecified


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings; `settings.cache_clear()` makes tests read them again."""
    return Settings()


def environment() -> Mapping[str, str]:
    """The environment and the files that settings are read from, for keys that the catalogue names."""
    found: dict[str, str] = {}
    for file in ENV_FILES:
        found |= {name: value for name, value in dotenv_values(file).items() if value is not None}
    return found | os.environ
