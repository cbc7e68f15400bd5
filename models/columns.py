"""Column kinds that the tables share, and the metadata they are in."""

from math import isfinite, isnan
from typing import Any, cast

from sqlalchemy import BigInteger, DateTime, MetaData, text
from sqlmodel import Field, SQLModel

# Names that migrations can count on.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata: MetaData = SQLModel.metadata

UTC_TIME = DateTime(timezone=True)
NOW = text("app_now()")
# When what waits for somebody is due by itself: a moment that Python and the release before can read, which infinity is not.
NEVER = "timestamptz '9999-01-01 00:00:00+00'"


def created_at() -> Any:
    """A column filled by the database's own clock."""
    return Field(default=None, sa_type=cast("Any", UTC_TIME), nullable=False, sa_column_kwargs={"server_default": NOW})


def moment() -> Any:
    """An optional point in time, UTC."""
    return Field(default=None, sa_type=cast("Any", UTC_TIME), nullable=True)


def counter(default: int = 0) -> Any:
    """A bigint that starts at a number and is never null."""
    return Field(
        default=default, sa_type=BigInteger, nullable=False, sa_column_kwargs={"server_default": text(str(default))}
    )


MAX_INTEGER = 2**31 - 1  # of a column of that type
MAX_MEASURED = 10**15  # what was measured or reported, so that sums of many fit a bigint too


def within(value: float, most: int = MAX_MEASURED, least: int = 0) -> int:
    """A number that somebody else measured or reported, as one that can be stored: a file's header or a provider's answer
    may say anything, and what is known of a job must be written down whatever it says.
    """
    if isinstance(value, float) and not isfinite(value):
        return least if isnan(value) or value < 0 else most
    return int(min(max(value, least), most))


def in_list(column: str, *values: str) -> str:
    """The text of a CHECK that a column holds one of these words."""
    return f"{column} in ({', '.join(repr(str(v)) for v in values)})"


def end_or_never(column: str) -> str:
    """The text of an expression: when something ends, or null where it is kept for ever. That is a hundred years
    (`MAX_HOURS`) from when it was stored, so that it has a place in every index and comparison of ends.
    """
    return f"case when {column} < app_now() + interval '50 years' then {column} end"
