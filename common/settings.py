"""Every setting, read once from the environment, then from `.env`, then from what `headrace up` wrote."""

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from common import foreign, places
from common.broker_settings import BrokerSettings
from common.cdn_settings import CdnSettings
from common.content_settings import ContentSettings
from common.env_files import ENV_FILES
from common.fitness import DEVELOPMENT_SECRET, faults
from common.observing_settings import ObservingSettings
from common.replica_settings import ReplicaSettings
from common.retention_settings import MAX_HOURS, RetentionSettings
from common.sales_settings import SalesSettings
from common.whsec import key_of

CLERK_KEY_BYTES = 16  # at least


def hours_kept(hours: int) -> int:
    """Hours as somebody writes them; 0 is for ever."""
    return hours or MAX_HOURS


class _AsRead(PydanticBaseSettingsSource):
    """What a source has read, as it stands there: no field of ours is JSON, or goes by another name. The source itself
    would work out from each field's type, at each reading, what it may be, and take five times as long.
    """

    def __init__(self, source: PydanticBaseSettingsSource) -> None:
        super().__init__(source.settings_cls)
        assert isinstance(source, EnvSettingsSource)  # noqa: S101 - which a file's is as well
        self._read = source.env_vars

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - so it is asked
        return self._read.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        names = self.settings_cls.model_fields
        return {name: value for name, value in self._read.items() if name in names and value is not None}


class Settings(
    RetentionSettings, SalesSettings, CdnSettings, ContentSettings, ObservingSettings, ReplicaSettings, BrokerSettings
):
    """One deployment's configuration. Each field is an environment variable of the same name in capitals."""

    # An empty variable is one that is not set. What is refused is not quoted: it may be a password.
    model_config = SettingsConfigDict(
        env_file=ENV_FILES, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings gives them by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _AsRead(env_settings), _AsRead(dotenv_settings)

    environment: Literal["development", "test", "production"] = Field("development", description="How strict it is.")
    secret_key: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="Signs the permanent addresses of results."
    )

    database_url: str = Field(
        "postgresql://app@127.0.0.1:5432/headrace", repr=False, description="PostgreSQL 15 or newer."
    )
    database_pooler: Literal["auto", "none", "transaction"] = Field(
        "auto",
        description="Whether a pooler such as PgBouncer stands before the database; auto: look at each connection.",
    )
    database_pool_size: int = Field(8, ge=2, le=200, description="Connections per process.")

    s3_endpoint_url: str | None = Field(None, description="Empty for AWS itself.")
    s3_region: str = Field("us-east-1", description="The bucket's; `auto` for some that are not AWS.")
    s3_bucket: str = Field("headrace", description="Where results and uploads are.")
    s3_access_key_id: str | None = Field(None, description="Empty: the machine's own role.")
    s3_secret_access_key: SecretStr | None = Field(None, description="Goes with S3_ACCESS_KEY_ID.")
    s3_anonymous: bool = Field(False, description="The endpoint takes requests without a signature.")
    s3_path_style: bool = Field(True, description="False for AWS and R2 with virtual hosts.")
    s3_seconds: float = Field(15.0, gt=0, description="After so long without a word S3 is taken for silent.")

    public_url: str = Field("http://127.0.0.1:8000", description="Where clients reach the API; no slash at the end.")
    api_host: str = Field("127.0.0.1", description="The address that the API listens on.")
    api_port: int = Field(8000, ge=0, le=65535, description="And its port; 0: any that is free.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses or networks of your proxies, by commas: only their X-Forwarded-* is believed."
    )
    connections_max: int = Field(20_000, ge=1, description="Open at once, per API process; fewer if descriptors are.")
    connections_per_address: int = Field(4096, ge=1, description="Open at once, of one IPv4 address or IPv6 /64.")
    strangers_per_second: int = Field(
        400, ge=1, description="Requests of one address without a valid key or signature; what is beyond that waits."
    )
    header_seconds: float = Field(10.0, gt=0, description="In which a request's head must be here.")
    body_seconds: float = Field(
        30.0, gt=0, description="In which a request's body must be here; 4 KiB are a second more."
    )
    idle_seconds: float = Field(65.0, gt=0, description="How long a connection may rest between two requests.")
    requests_at_once: int = Field(40, ge=1, le=200, description="Threads for ordinary requests, per API process.")
    files_at_once: int = Field(32, ge=1, le=200, description="Threads that wait for S3 to send files.")
    uploads_at_once: int = Field(32, ge=1, le=64, description="Files that are examined and stored at once.")
    place_wait_seconds: float = Field(5.0, gt=0, description="How long a request waits for one of these threads.")
    first_byte_seconds: float = Field(5.0, gt=0, description="After so long S3 has not begun to send a file: 503.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest body of a request that is no upload.")
    max_batch_bytes: int = Field(33_554_432, ge=1024, description="Of a batch, each of whose lines is a body itself.")
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
    page_size_max: int = Field(100, ge=1, le=1000, description="Largest `limit` of a list.")
    catalogue_refresh_seconds: float = Field(5.0, gt=0, description="How soon an API process sees a new catalogue.")
    key_cache_seconds: float = Field(3.0, ge=0, le=5, description="How long a revoked key may still pass in a process.")

    account_per_minute: int | None = Field(None, ge=1, description="Requests of one account; empty: without limit.")
    address_per_minute: int | None = Field(None, ge=1, description="Requests of one address; empty: without limit.")
    failed_auth_per_minute: int = Field(60, ge=1, description="Requests of one address without a valid key.")
    key_rotation_hours: int = Field(24, ge=0, description="How long a rotated key still works.")
    cors_origins: str = Field("", description="Origins of web pages that may call the API, separated by commas.")
    studio_app: str = Field(
        "",
        description="What makes a product's ASGI application, as `module:function`: the API serves it under /studio/.",
    )

    result_hours: Annotated[int, AfterValidator(hours_kept)] = Field(
        24, ge=0, le=MAX_HOURS, description="How long results are kept unless model or plan say otherwise; 0: for ever."
    )
    unkept_hours: int = Field(24, ge=1, le=MAX_HOURS, description="How long a result lives on that is kept no longer.")
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
    default_plan: str = Field("free", description="The plan of a new account, and of one whose subscription ended.")
    products: str = Field("", description="Products whose plans and packs are shown and sold, by commas; empty: all.")
    rollover_max_credits: int = Field(
        0, ge=0, le=10**15, description="Of what remains of a subscription's month, so many credits go on for another."
    )
    plan_change_credits: Literal["keep", "revoke"] = Field(
        "keep", description="What becomes of a running month's credits when its plan is changed at once."
    )
    low_credits: int = Field(10, ge=0, description="An account that falls below so many credits is notified; 0: never.")

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

    worker_threads: int = Field(8, ge=1, le=64, description="Steps of jobs at once, per worker process.")
    lease_seconds: float = Field(60.0, ge=1, description="A step's right lapses after this long without a heartbeat.")
    max_rescues: int = Field(5, ge=1, description="After so many lapsed leases a job fails, and is refunded.")
    reconcile_seconds: float = Field(3600.0, ge=1, description="How long an unknown outcome is waited for.")
    ask_again_seconds: float = Field(
        600.0, ge=0, description="After its time limit, how long a job is asked about again if the question is lost."
    )
    poll_max_seconds: float = Field(
        60.0,
        gt=0,
        le=600,
        description="Longest pause that polls of a job grow to; five times so long if it is called back.",
    )
    fetch_seconds: float = Field(600.0, ge=1, description="For fetching one result from its address, in one go.")
    collect_seconds: float = Field(
        120.0, ge=1, description="At least so long a delivered result that cannot be fetched is tried again."
    )
    store_hours: float = Field(24.0, gt=0, description="How long a result that cannot be stored is tried again.")
    worker_stop_seconds: float = Field(
        600.0, ge=1, description="How long a stopping worker waits for answers that cannot be asked for again."
    )
    retry_base_seconds: float = Field(2.0, gt=0, description="Pause before a second attempt; then it doubles.")
    retry_max_seconds: float = Field(300.0, gt=0, description="The longest of these pauses.")
    ring_again_seconds: float = Field(15.0, ge=0.1, description="First pause before a job's message is sent again.")
    scheduler_tick_seconds: float = Field(0.2, ge=0.01, description="How often it is looked for jobs that are due.")
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

    callback_url: str | None = Field(
        None, description="Where providers reach the API; they are polled without it. No slash at the end."
    )
    sketch_book: str | None = Field(None, description="File in which sketch, the built-in provider, keeps its book.")
    clock_offset_seconds: int = Field(0, description="Shifts app_now(); for tests, refused in production.")

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, address: str) -> str:
        places.database_parameters(address)
        return address

    @field_validator("s3_endpoint_url", "public_url", "callback_url", "cdn_url", "clerk_issuer")
    @classmethod
    def _is_on_the_web(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is None:
            return None
        places.web_address(str(info.field_name).upper(), address)
        # Only an issuer is compared letter by letter.
        return address if info.field_name == "clerk_issuer" else address.strip().rstrip("/")

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, address: SecretStr | None) -> SecretStr | None:
        if address is not None:
            places.mail_server(address.get_secret_value())
        return address

    @field_validator("s3_bucket")
    @classmethod
    def _is_a_bucket(cls, name: str) -> str:
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}", name):
            raise ValueError("S3_BUCKET is not a bucket's name: letters, digits, - and . only")
        return name

    @model_validator(mode="after")
    def _storage_is_somewhere(self) -> Self:
        if self.s3_region == "auto" and self.s3_endpoint_url is None:
            raise ValueError("S3_REGION=auto is no region of AWS: name one, or set S3_ENDPOINT_URL")
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY go together: set both or neither")
        return self

    @field_validator("clerk_webhook_secret")
    @classmethod
    def _is_a_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        """An empty setting is none; one that cannot be decoded would refuse every event, so it is refused at start."""
        if secret is None or not secret.get_secret_value():
            return None
        try:
            key_of(secret.get_secret_value(), CLERK_KEY_BYTES)
        except ValueError:
            raise ValueError("CLERK_WEBHOOK_SECRET must be whsec_ and base64, as Clerk shows it") from None
        return secret

    @model_validator(mode="after")
    def _issuers_are_addresses(self) -> Self:
        for issuer in self.issuers():
            places.web_address("OIDC_ISSUERS", issuer)
        for url in self.jwks_urls().values():
            places.web_address("OIDC_JWKS_URLS", url, bare=False)
        if set(self.jwks_urls()) - set(self.issuers()):
            raise ValueError(
                "OIDC_JWKS_URLS, which has issuer=address pairs, names an issuer that OIDC_ISSUERS does not"
            )
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

    def shown_products(self) -> list[str]:
        """The products whose plans and packs this deployment shows; none: those of all."""
        return _words(self.products)

    def audiences(self) -> list[str]:
        return _words(self.oidc_audience)

    def authorized_parties(self) -> list[str]:
        return _words(self.oidc_azp)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        for place in places:
            try:
                network = ip_network(place)
            except ValueError:
                raise ValueError(f"TRUSTED_PROXIES: {place!r} is no address and no network") from None
            if not network.prefixlen:
                raise ValueError(f"TRUSTED_PROXIES: {place} is everybody, who could then say to be anybody")
        return places

    @field_validator("allow_private_addresses", "trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        return tuple(text.strip().lower() for text in given.split(",") if text.strip())

    @field_validator("allow_private_addresses")
    @classmethod
    def _named(cls, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """One host at one port each: no network, no wildcard, so that nobody opens more than they meant to."""
        for place in allowed:
            if not re.fullmatch(r"([a-z0-9._-]+|[0-9a-f:]*:[0-9a-f:.]*):[0-9]{1,5}", place):
                raise ValueError("ALLOW_PRIVATE_ADDRESSES: each is host:port, by commas, and no network or wildcard")
        return allowed

    @model_validator(mode="after")
    def _fit(self) -> Self:
        wrong = faults({name: getattr(self, name) for name in type(self).model_fields})
        production = self.environment == "production"
        if production and os.environ.get("HEADRACE_FAULT_POINT"):
            wrong.append("HEADRACE_FAULT_POINT must not be set")
        if wrong:
            raise ValueError(f"not fit for {'production' if production else 'strangers'}: " + "; ".join(wrong))
        return self


def _words(text: str) -> list[str]:
    return [word for each in text.split(",") if (word := each.strip())]


class WrongSettings(ValueError):
    """The settings cannot be right. The message is one sentence, fit for whoever started the process."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings; `settings.cache_clear()` makes tests read them again. Raises WrongSettings.

    Variables that are other programs' are dropped by the way: every process comes by here before it makes a client.
    """
    try:
        found = Settings()
    except ValidationError as error:
        raise WrongSettings("; ".join(map(_explained, error.errors(include_input=False, include_url=False)))) from None
    foreign.drop(role=found.s3_access_key_id is None and not found.s3_anonymous)
    return found


def _explained(error: Any) -> str:
    """What is wrong with a setting: its name, and no word of its value."""
    text = str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0]).upper() if error["loc"] else ""
    return text if not name or text.startswith(name) else f"{name}: {text[:1].lower()}{text[1:]}"


def environment(files: Sequence[Path] = ENV_FILES) -> dict[str, str]:
    """The environment and the files that settings are read from, for keys that the catalogue names."""
    found: dict[str, str] = {}
    for file in files:
        found |= {name: value for name, value in dotenv_values(file).items() if value}
    return found | {name: value for name, value in os.environ.items() if value}
