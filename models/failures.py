"""What PostgreSQL's errors mean to whoever asked. Pure: the one list of which errors pass, which are the client's, and
which leave it unknown whether a statement took effect.
"""

import psycopg
from psycopg import errors

from common.errors import Busy, DatabaseAway, DomainError, InvalidInput, Unavailable

# Somebody else had it: the same request will do soon.
BUSY = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
# The server itself cannot, now. psycopg counts these two among InternalError, not OperationalError.
_UNABLE = (psycopg.OperationalError, errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)


def named(error: BaseException) -> DomainError | None:
    """The error that a client is told, where nothing has been done; None where it is a fault of ours."""
    if isinstance(error, BUSY):
        return Busy("another request holds this account; try again soon")
    if isinstance(error, _UNABLE):
        if is_certain(error):
            return Unavailable("the database cannot do this now; try again soon")
        return DatabaseAway("the database did not answer; try again soon")
    return None


def of_value(error: BaseException) -> DomainError | None:
    """The error for a value that cannot be held: a number past its column, a NUL, half of a character."""
    if isinstance(error, psycopg.DataError | UnicodeEncodeError | OverflowError):
        return InvalidInput("the request has a value that cannot be stored: too large, too long, or not a text")
    return None


def is_certain(error: psycopg.Error) -> bool:
    """Whether the server itself said that the transaction is over and undone. An error that is FATAL, or none at all
    because the connection broke, leaves open what became of the statement under way, a COMMIT above all.
    """
    if isinstance(error, errors.StatementCompletionUnknown) or (error.sqlstate or "08").startswith("08"):
        return False
    return (error.diag.severity_nonlocalized or error.diag.severity) == "ERROR"
