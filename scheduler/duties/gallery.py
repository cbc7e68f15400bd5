"""Duties of the gallery: results become rows of it, and rows go with their results."""

from models.catalogue.switches import features_on
from models.db import transaction
from models.gallery import indexing, shutting
from scheduler.turns import Did


def index_results(batch: int) -> Did:
    """Write the gallery's rows of the results that came since: not where gallery and collections are off."""
    with transaction() as conn:
        if not features_on(conn) & {"gallery", "collections"}:
            return Did(0)
        walked = indexing.follow(conn, batch)
    return Did(walked.written, more=walked.more)


def forget_items(batch: int) -> int:
    """Delete the gallery's rows of results whose time has passed."""
    with transaction() as conn:
        return indexing.forget(conn, batch)


def mark_shut(batch: int) -> Did:
    """Mark what accounts that were shut out have made public, and take the marks off of those that are let in again."""
    with transaction() as conn:
        done = shutting.mark(conn, batch)
    return Did(done, more=done > 0)
