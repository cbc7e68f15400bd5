"""What a person is told of an error that is their machine's or their database's: one sentence, and what to do."""

import errno
import sys
from typing import Any

from common.redact import redacted

# What to do, by what the system says; a folder of ours is chosen with --state, a file of theirs by its own argument.
_PLACE = "choose another place (--state, or HEADRACE_STATE)"
_ADVICE = {
    errno.ENOSPC: f"make room there, or {_PLACE}",
    errno.EDQUOT: f"make room there, or {_PLACE}",
    errno.EACCES: f"let this user in, or {_PLACE}",
    errno.EPERM: f"let this user in, or {_PLACE}",
    errno.EROFS: f"nothing can be written there: {_PLACE}",
    errno.ENOENT: f"make what it lies in, or {_PLACE}",
    errno.ENOTDIR: f"part of this path is a file: {_PLACE}",
    errno.EEXIST: f"there is a file, where a folder is wanted: {_PLACE}",
    errno.EMFILE: "let this user open more files (ulimit -n)",
    errno.ENFILE: "this machine has no more open files: end other programs",
}
_FULL = "No space left on device"  # as servers' logs have it, whatever the language


def sentence_of(error: BaseException) -> str | None:
    """None: it is no trouble of this kind, and perhaps a fault of ours."""
    if isinstance(error, OSError):
        return _of_system(error)
    if "psycopg" in sys.modules and (said := _of_database(error)) is not None:
        return said
    return None


def of_server(error: RuntimeError, place: object) -> str:
    """What is told of a server that does not start: a full disk first, and not the log that ends with it."""
    if _FULL in str(error):
        return f"no room is left in {place}: {_ADVICE[errno.ENOSPC]}"
    return str(error)


def _of_system(error: OSError) -> str | None:
    if error.errno not in _ADVICE or (error.filename is None and error.errno not in {errno.ENOSPC, errno.EDQUOT}):
        return None
    what = f"{error.filename}: " if error.filename is not None else ""
    return redacted(f"{what}{(error.strerror or '').lower()}: {_ADVICE[error.errno]}")


def _of_database(error: Any) -> str | None:
    from psycopg import errors  # noqa: PLC0415 - only a command that speaks to the database has imported it

    cause = getattr(error, "orig", None) or error  # SQLAlchemy's hold psycopg's
    if isinstance(cause, errors.DiskFull):
        return "the database's disk is full: make room for PostgreSQL, then try again"
    if isinstance(cause, errors.InsufficientPrivilege):
        said = cause.diag.message_primary or "it may not"
        return f"the database does not let this user do that ({said}): see DATABASE_URL, and whose tables they are"
    if isinstance(cause, (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction)):
        from models.schema import migrations  # noqa: PLC0415 - Alembic is loaded only where it is used

        revision, newest = migrations.revisions()
        if revision != newest:
            return (
                f"the database is at migration {revision or 'none'}, this release at {newest}: run `headrace migrate`"
            )
    return None
