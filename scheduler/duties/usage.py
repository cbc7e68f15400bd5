"""The duty of usage: what was noted is added up."""

from models.db import transaction
from models.usage import entries
from scheduler.turns import Did


def add_up_usage(batch: int) -> Did:
    """Add up what jobs and storage did since. Reports read what is not added up yet, too."""
    with transaction() as conn:
        added = entries.add_up(conn, batch)
    return Did(added, more=added >= batch)
