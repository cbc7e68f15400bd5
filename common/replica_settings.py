"""Settings of a replica of the database, for reading."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from common import places


class ReplicaSettings(BaseSettings):
    """Part of `common.settings.Settings`."""

    database_replica_url: str | None = Field(
        None, repr=False, description="A streaming replica that lists, searches, use and pages are read from. Empty: the primary."
    )  # fmt: skip
    database_replica_wait_seconds: float = Field(
        0.3, gt=0, le=5, description="How far it may lag: a read waits so long for what was written, and goes to the primary then."
    )  # fmt: skip

    @field_validator("database_replica_url")
    @classmethod
    def _is_a_replica(cls, address: str | None) -> str | None:
        if address is not None:
            replica_parameters(address)
        return address


def replica_parameters(address: str) -> dict[str, str]:
    """As `places.database_parameters`. Raises UnreadablePlace, which names this setting."""
    try:
        return places.database_parameters(address)
    except places.UnreadablePlace as error:
        raise places.UnreadablePlace(str(error).replace("DATABASE_URL", "DATABASE_REPLICA_URL")) from None
