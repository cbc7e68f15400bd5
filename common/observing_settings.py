"""Settings of what a process says of itself: figures, traces, lines of the log."""

from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from common import places


class ObservingSettings(BaseSettings):
    """Part of `common.settings.Settings`."""

    metrics_port: int | None = Field(
        None, ge=1, le=65000,
        description="Of `/metrics` of the API; worker, scheduler and deliver have the next three. Empty: figures are off.",
    )  # fmt: skip
    metrics_host: str = Field("127.0.0.1", description="Who else is let in needs METRICS_TOKEN.")
    metrics_token: SecretStr | None = Field(
        None, description="What Prometheus sends as its bearer token; two by a comma while it changes."
    )
    log_format: Literal["auto", "text", "json"] = Field("auto", description="auto: JSON in production, else text.")
    log_jobs: bool = Field(True, description="A line when a job is ordered, started, done or failed.")
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="Where traces go, over HTTP, such as http://127.0.0.1:4318. Empty: there are none."
    )
    otel_exporter_otlp_headers: SecretStr | None = Field(
        None, description="name=value pairs by commas, sent with them."
    )
    trace_share: float = Field(0.1, ge=0, le=1, description="Of jobs and requests, so many are traced; 1: all.")

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_a_receiver(cls, address: str | None) -> str | None:
        if address is None:
            return None
        places.web_address("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        return address.strip().rstrip("/")

    def metrics_tokens(self) -> list[str]:
        """What Prometheus may send, in clear; none: everybody who reaches the port may look."""
        given = self.metrics_token
        return [] if given is None else [each for part in given.get_secret_value().split(",") if (each := part.strip())]

    def is_watched(self) -> bool:
        """Whether requests are noted: for figures, or for traces."""
        return self.metrics_port is not None or self.otel_exporter_otlp_endpoint is not None
