"""What has become of a model: its versions, and what each has changed."""

from collections.abc import Iterable
from datetime import datetime
from itertools import zip_longest
from typing import Any, NamedTuple

from psycopg import Connection


def field_changes(before: Any, after: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The leaves in which two JSON values differ, by their path; None: not there."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*before, *(name for name in after if name not in before)]
        steps: Iterable[tuple[Any, Any, Any]] = ((name, before.get(name), after.get(name)) for name in names)
    elif isinstance(before, list) and isinstance(after, list) and before and after:
        steps = ((at, *pair) for at, pair in enumerate(zip_longest(before, after)))
    else:
        return [] if before == after else [(path, before, after)]
    return [
        change
        for name, old, new in steps
        for change in field_changes(old, new, f"{path}.{name}" if path else str(name))
    ]


class Version(NamedTuple):
    """One version of a model, and what it changed of the one before."""

    version: int
    current: bool
    created_at: datetime
    entry: dict[str, Any]
    fields: list[tuple[str, Any, Any]]


def versions(conn: Connection[Any], model_id: str) -> list[Version]:
    """All versions of a model, oldest first."""
    rows = conn.execute(
        "select version, current, created_at, entry from models where id = %s order by version", [model_id]
    ).fetchall()
    before = [None, *(row[3] for row in rows)]
    return [
        Version._make((*row, field_changes(old, row[3]) if old else [])) for old, row in zip(before, rows, strict=False)
    ]
