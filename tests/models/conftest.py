"""What the tests of verbs share."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from models import db


@pytest.fixture
def heard() -> Iterator[list[set[UUID]]]:
    """The accounts whose listeners were woken, for each commit that woke some."""
    commits: list[set[UUID]] = []
    db.after_commit(commits.append)
    yield commits
    db._hearers.remove(commits.append)
