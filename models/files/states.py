"""The states of a stored file: of a result and of a client's upload alike."""

from enum import StrEnum


class AssetStatus(StrEnum):
    """What has become of a stored file. Stored by value."""

    STORED = "stored"  # it can be served; the sweep moves it on when its time has passed, its owner by deleting it
    EXPIRED = "expired"  # its time has passed; the scheduler deletes its object, and notes that in `purged_at`
    DELETED = "deleted"  # its owner has deleted it; the scheduler deletes its object, as of what has expired
