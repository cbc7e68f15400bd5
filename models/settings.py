"""Every setting, read once from the environment, then from `.env`, then from what `headrace up` wrote."""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    signed_link_seconds: int = Field(900, ge=1, description="Longest life of a presigned link to an object.")
    grant_grace_hours: int = Field(24, ge=0, description="Life of credits returned to a grant that has expired.")
    default_plan: str = "free"
    low_credits: int = Field(10, ge=0, description="An account that falls below so many credits is told; 0: never.")

    heartbeat_seconds: float = Field(15.0, ge=0.1, description="Pause after which a silent stream of events says so.")
    listeners_per_account: int = Field(100, ge=1, description="Streams open at once, per API process.")
    listener_backlog: int = Field(256, ge=2, description="Events that may wait for a slow reader before it is cut off.")
    slow_reader_seconds: float = Field(30.0, ge=0.1, description="How long a reader may take nothing at all.")
    stream_token_seconds: int = Field(60, ge=1, description="How long a stream token opens a stream.")
    prefer_wait_seconds: float = Field(55.0, ge=0, description="Longest `Prefer: wait`; below a proxy's time-out.")

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

    callback_url: str | None = Field(
        None, description="Where providers reach the API; they are polled without it. No slash at the end."
    )
    sketch_book: str | None = Field(None, description="File in which sketch, the built-in provider, keeps its book.")
    clock_offset_seconds: int = Field(0, description="Shifts app_now(); for tests, refused in production.")

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
        if wrong:
            raise ValueError("not fit for production: " + "; ".join(wrong))
        return self


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
