"""Settings of how long things are kept."""

import re
from importlib.util import find_spec
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

MAX_HOURS = 876_000  # a hundred years: what is kept so long is kept for ever, and a date can hold it


class RetentionSettings(BaseSettings):
    """Part of `common.settings.Settings`."""

    idempotency_key_hours: int = Field(24, ge=1, le=MAX_HOURS, description="How long a key means the same order.")
    event_days: int = Field(90, ge=7, description="How long events and deliveries are kept; whole months go at once.")
    inbound_days: int = Field(90, ge=7, description="How long what other services sent us is kept.")
    delivery_queue_days: int = Field(
        30, ge=1, description="How long a receiver's line is kept after the last delivery on it."
    )
    key_days: int = Field(90, ge=1, description="How long revoked and expired API keys are kept.")
    upload_row_days: int = Field(30, ge=1, description="How long it is known of an upload that it is gone.")
    prompt_days: int | None = Field(
        None,
        ge=1,
        le=MAX_HOURS // 24,
        description="How long what people wrote is kept once its job has ended; empty: for ever.",
    )
    job_days: int | None = Field(
        None, ge=31, le=MAX_HOURS // 24, description="How long ended jobs are shown and listed; empty: for ever."
    )
    act_days: int = Field(730, ge=365, description="How long the audit log of acts is kept.")
    notification_days: int = Field(90, ge=1, description="How long in-app notifications are kept.")
    archive: bool = Field(
        False,
        description="Before months and jobs are dropped they are written to the bucket as Parquet; needs pyarrow.",
    )
    archive_prefix: str = Field("archive/", description="What the archive's keys begin with, in S3_BUCKET.")

    @field_validator("archive_prefix")
    @classmethod
    def _is_a_folder_of_its_own(cls, prefix: str) -> str:
        """Results and uploads are swept where they lie: what is archived must not lie there."""
        if not re.fullmatch(r"([A-Za-z0-9_=-]+/)+", prefix) or prefix.startswith(("results/", "uploads/", "inputs/")):
            raise ValueError("ARCHIVE_PREFIX is a folder as archive/, and not in results/, uploads/ or inputs/")
        return prefix

    @model_validator(mode="after")
    def _parquet_can_be_written(self) -> Self:
        if self.archive and find_spec("pyarrow") is None:
            raise ValueError("ARCHIVE needs pyarrow: install headrace[archive], or set ARCHIVE=false")
        return self

    @model_validator(mode="after")
    def _keys_outlive_no_job(self) -> Self:
        if self.job_days is not None and self.job_days * 24 < self.idempotency_key_hours:
            raise ValueError("JOB_DAYS must be at least as long as IDEMPOTENCY_KEY_HOURS: a key answers with its job")
        return self
