"""What the archive holds of each kind of row: its columns, their types, and where each comes from. Pure.

Nothing personal is among them, on purpose: no prompt, no input, no label, no address, no words of an error, no name. So nothing
has to be taken out of the archive when a person is erased; an account's id then is as nobody's as in the ledger.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

ArchiveKind = Literal["events", "deliveries", "usage", "jobs", "attempts", "assets"]
ColumnType = Literal["uuid", "text", "bigint", "boolean", "timestamptz"]


class ArchiveShape(NamedTuple):
    """A kind of row: column → type, and of those that are not a column of the table `x` the expression."""

    columns: Mapping[str, ColumnType]
    expressions: Mapping[str, str] = {}

    def selected(self) -> str:
        """SQL of the columns, each with its type, of a table `x`."""
        return ", ".join(
            f'({self.expressions.get(name, f"x.{name}")})::{kind} as "{name}"' for name, kind in self.columns.items()
        )

    def record(self) -> str:
        """SQL of the columns as those of a record that was written as JSON."""
        return ", ".join(f'"{name}" {kind}' for name, kind in self.columns.items())


def _columns(**names: str) -> dict[str, ColumnType]:
    """Columns by their types, each group in its order."""
    types: dict[str, ColumnType] = {
        "ids": "uuid", "words": "text", "numbers": "bigint", "facts": "boolean", "times": "timestamptz",
    }  # fmt: skip
    return {name: types[group] for group, text in names.items() for name in text.split()}


def _number(name: str) -> str:
    """What an event says is a number where it is one: each kind of event has its own words."""
    return f"case when jsonb_typeof(x.data->'{name}') = 'number' then trunc((x.data->>'{name}')::numeric) end"


def _counted(name: str) -> str:
    return f"least((x.usage->>'{name}')::numeric, 1e12)"


SHAPES: Mapping[ArchiveKind, ArchiveShape] = {
    "events": ArchiveShape(
        _columns(
            ids="account_id job_id",
            words="type error_code",
            numbers="number credits available reserved",
            times="created_at",
        ),
        {"error_code": "x.data->'error'->>'code'"}
        | {name: _number(name) for name in ("credits", "available", "reserved")},
    ),
    "deliveries": ArchiveShape(
        _columns(
            ids="id account_id endpoint_id job_id",
            words="channel event_type status",
            numbers="event_number attempts",
            times="event_at delivered_at created_at",
        )
    ),
    "usage": ArchiveShape(
        _columns(
            ids="account_id",
            words="source model_id",
            numbers="succeeded failed canceled credits results cost_usd_micros tokens_in tokens_out requests bytes_added bytes_removed",
            times="at",
        )
    ),
    "jobs": ArchiveShape(
        _columns(
            ids="id account_id api_key_id retry_of",
            words="model_id queue unit ended resolution error_code",
            numbers="model_version price_credits quantity_milli charged_credits overrun_credits attempts",
            times="created_at started_at ended_at",
        )
    ),
    "attempts": ArchiveShape(
        _columns(
            ids="job_id",
            words="provider phase error_code",
            numbers="number route cost_usd_micros tokens_in tokens_out",
            facts="charged",
            times="started_at ended_at",
        ),
        {name: _counted(name) for name in ("tokens_in", "tokens_out")},
    ),
    "assets": ArchiveShape(
        _columns(
            ids="id job_id account_id",
            words="media_type status",
            numbers="index size_bytes thumbnail_bytes width height duration_ms",
            times="created_at expires_at expired_at purged_at",
        )
    ),
}
FORGOTTEN: tuple[ArchiveKind, ...] = ("jobs", "attempts", "assets", "deliveries")  # what goes with a job, in this order
