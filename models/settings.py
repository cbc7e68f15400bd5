"""Every setting, read once from the environment, then from `.env`, then from what `headrace up` wrote."""

import base64
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEVELOPMENT_SECRET = "development-only-secret-key"  # noqa: S105 - refused in production below

MAX_HOURS = 876_000  # a hundred years: what is kept longer is kept for ever, and a date can hold it
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
    s3_seconds: float = Field(15.0, gt=0, description="After so long without a word S3 is taken for silent.")

    public_url: str = Field("http://127.0.0.1:8000", description="Where clients reach the API; no slash at the end.")
    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535)
    max_body_bytes: int = Field(1_048_576, ge=1024)
    max_upload_bytes: int = Field(52_428_800, ge=1024, description="Largest input file, uploaded or fetched for a job.")
    decoders: int = Field(4, ge=1, le=64, description="Files read at once, per process; half of them for one account.")
    decode_seconds: int = Field(10, ge=1, description="CPU seconds that reading a file may take; large ones more.")
    decode_megabytes: int = Field(
        1024, ge=256, description="Memory that reading a large picture may take; one at a time."
    )
    decode_wait_seconds: float = Field(3.0, ge=0, description="How long a file waits to be read before it comes again.")
    uploads_per_account: int = Field(4, ge=1, description="Uploads of one account at once, per API process.")
    spool_megabytes: int = Field(
        2048, ge=1, description="Room that uploads under way may take on disk, per API process."
    )
    page_size_max: int = Field(100, ge=1, le=1000)
    catalogue_refresh_seconds: float = Field(5.0, gt=0, description="How soon an API process sees a new catalogue.")
    key_cache_seconds: float = Field(3.0, ge=0, le=5, description="How long a revoked key may still pass in a process.")

    account_per_minute: int | None = Field(None, ge=1, description="Requests of one account; empty: without limit.")
    address_per_minute: int | None = Field(None, ge=1, description="Requests of one address; empty: without limit.")
    failed_auth_per_minute: int = Field(60, ge=1, description="Requests of one address without a valid key.")
    key_rotation_hours: int = Field(24, ge=0, description="How long a rotated key still works.")
    cors_origins: str = Field("", description="Origins of web pages that may call the API, separated by commas.")

    idempotency_key_hours: int = Field(24, ge=1, le=MAX_HOURS)
    result_hours: int = Field(
        24, ge=1, le=MAX_HOURS, description="How long results are kept, unless the model says otherwise."
    )
    upload_hours: int = Field(
        24, ge=1, le=MAX_HOURS, description="How long an uploaded file is kept after its last use."
    )
    input_seconds: float = Field(30.0, gt=0, description="For fetching one input of a job, in all.")
    allow_private_addresses: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="host:port,host:port: places in your own network that users' addresses may lead to."
    )
    signed_link_seconds: int = Field(900, ge=1, description="Longest life of a presigned link to an object.")
    grant_grace_hours: int = Field(
        24, ge=0, le=MAX_HOURS, description="Life of credits returned to a grant that has expired."
    )
    default_plan: str = "free"
    low_credits: int = Field(10, ge=0, description="An account that falls below so many credits is told; 0: never.")

    heartbeat_seconds: float = Field(15.0, ge=0.1, description="Pause after which a silent stream of events says so.")
    listeners_per_account: int = Field(100, ge=1, description="Streams open at once, per API process.")
    listeners_max: int = Field(20_000, ge=1, description="Streams open at once in an API process, of all accounts.")
    listener_backlog: int = Field(256, ge=2, description="Events that may wait for a slow reader before it is cut off.")
    slow_reader_seconds: float = Field(30.0, ge=0.1, description="How long a reader may take nothing at all.")
    stream_token_seconds: int = Field(60, ge=1, description="How long a stream token opens a stream.")
    prefer_wait_seconds: float = Field(55.0, ge=0, description="Longest `Prefer: wait`; below a proxy's time-out.")

    oidc_issuers: str = Field("", description="Issuers whose JWTs are accepted, separated by commas, as in `iss`.")
    oidc_jwks_urls: str = Field("", description="issuer=address pairs, by commas; without one the issuer is asked.")
    oidc_audience: str = Field("", description="Accepted audiences, by commas; empty: only tokens that name none.")
    oidc_azp: str = Field("", description="Accepted authorized parties, by commas; empty: any, or none.")
    oidc_jwks_seconds: float = Field(300.0, ge=0, description="Age at which an issuer's keys are fetched again.")
    clerk_issuer: str | None = Field(
        None, description="Whose users Clerk's webhooks tell of; the first of OIDC_ISSUERS."
    )
    clerk_webhook_secret: SecretStr | None = Field(None, description="whsec_…, from the endpoint's page at Clerk.")
    on_user_deleted: Literal["expire", "keep"] = Field("expire", description="What becomes of a deleted user's files.")

    worker_threads: int = Field(8, ge=1, le=64)
    lease_seconds: float = Field(60.0, ge=1, description="A step's right lapses after this long without a heartbeat.")
    max_rescues: int = Field(5, ge=1)
    reconcile_seconds: float = Field(3600.0, ge=1, description="How long an unknown outcome is waited for.")
    ask_again_seconds: float = Field(
        600.0, ge=0, description="After its time limit, how long a job is asked about again if the question is lost."
    )
    fetch_seconds: float = Field(600.0, ge=1, description="For fetching one result from its address, in one go.")
    collect_seconds: float = Field(
        120.0, ge=1, description="At least so long a delivered result that cannot be fetched is tried again."
    )
    store_hours: float = Field(24.0, gt=0, description="How long a result that cannot be stored is tried again.")
    worker_stop_seconds: float = Field(
        600.0, ge=1, description="How long a stopping worker waits for answers that cannot be asked for again."
    )
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
    event_days: int = Field(90, ge=7, description="How long events and deliveries are kept; whole months go at once.")
    inbound_days: int = Field(90, ge=7, description="How long what other services told us is kept.")
    line_days: int = Field(30, ge=1, description="How long a receiver's line is kept after the last delivery on it.")
    key_days: int = Field(90, ge=1, description="How long revoked and expired API keys are kept.")
    upload_row_days: int = Field(30, ge=1, description="How long it is known of an upload that it is gone.")
    act_days: int = Field(730, ge=365, description="How long the audit log of acts is kept.")
    notification_days: int = Field(90, ge=1, description="How long in-app notifications are kept.")

    callback_url: str | None = Field(
        None, description="Where providers reach the API; they are polled without it. No slash at the end."
    )
    sketch_book: str | None = Field(None, description="File in which sketch, the built-in provider, keeps its book.")
    clock_offset_seconds: int = Field(0, description="Shifts app_now(); for tests, refused in production.")

    @field_validator("clerk_webhook_secret")
    @classmethod
    def _is_a_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        """An empty setting is none; one that cannot be decoded would refuse every event, so it is refused at start."""
        if secret is None or not secret.get_secret_value():
            return None
        try:
            webhook_key(secret.get_secret_value())
        except ValueError:
            raise ValueError("CLERK_WEBHOOK_SECRET must be whsec_ and base64, as Clerk shows it") from None
        return secret

    @model_validator(mode="after")
    def _issuers_are_addresses(self) -> Self:
        for issuer in self.issuers():
            if not issuer.startswith(("https://", "http://")):
                raise ValueError(f"OIDC_ISSUERS: {issuer!r} is no address")
        strangers = set(self.jwks_urls()) - set(self.issuers())
        if strangers:
            raise ValueError(f"OIDC_JWKS_URLS names {sorted(strangers)}, which OIDC_ISSUERS does not")
        plain = [url for url in (*self.issuers(), *self.jwks_urls().values()) if not url.startswith("https://")]
        if plain and self.environment == "production":  # who can change the keys on their way can be anybody
            raise ValueError(f"not fit for production: OIDC_ISSUERS and OIDC_JWKS_URLS must be https, not {plain[0]}")
        return self

    def issuers(self) -> list[str]:
        """The issuers whose tokens are accepted."""
        return _words(self.oidc_issuers)

    def jwks_urls(self) -> dict[str, str]:
        """Where keys are, by issuer. An issuer has no query, so the first equals sign ends it."""
        return {issuer: url for issuer, _, url in (each.partition("=") for each in _words(self.oidc_jwks_urls))}

    def issuer_of_clerk(self) -> str | None:
        """Under which issuer Clerk's users are known."""
        return self.clerk_issuer or next(iter(self.issuers()), None)

    def audiences(self) -> list[str]:
        return _words(self.oidc_audience)

    def authorized_parties(self) -> list[str]:
        return _words(self.oidc_azp)

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
        if "*" in self.cors_origins:
            wrong.append("CORS_ORIGINS must name the origins of your pages, not *")
        if not self.public_url.startswith("https://") and not _is_here(self.public_url):
            wrong.append("PUBLIC_URL must begin with https:// (put a TLS proxy in front)")
        for name, url in (("DATABASE_URL", self.database_url), ("REDIS_URL", self.redis_url)):
            if not urlsplit(url).password and not _is_here(url):
                wrong.append(f"{name} must have a password")
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


def _words(text: str) -> list[str]:
    return [word for each in text.split(",") if (word := each.strip())]


def webhook_key(secret: str) -> bytes:
    """The bytes of a Standard Webhooks secret (`whsec_` and base64). Raises ValueError."""
    prefix, _, encoded = secret.partition("_")
    key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    if prefix != "whsec" or len(key) < 16:
        raise ValueError("not a webhook secret")
    return key


def _is_here(url: str) -> bool:
    """Whether an address is this machine's own, or a Unix socket."""
    return urlsplit(url).hostname in {None, "localhost", "127.0.0.1", "::1"}


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
