"""Every table, imported once, so that the metadata is whole (migrations, tests)."""

from models.accounts import Account, User
from models.base import metadata
from models.catalogue import CatalogueModel
from models.credits import Grant, LedgerEntry, Reservation, ReservationGrant
from models.events import Event
from models.fleet import Duty, WorkerProcess
from models.jobs import Asset, Attempt, IdempotencyKey, Job, JobRun
from models.keys import ApiKey
from models.plans import Plan
from models.subscriptions import Subscription
from models.uploads import Upload

__all__ = [
    "Account",
    "ApiKey",
    "Asset",
    "Attempt",
    "CatalogueModel",
    "Duty",
    "Event",
    "Grant",
    "IdempotencyKey",
    "Job",
    "JobRun",
    "LedgerEntry",
    "Plan",
    "Reservation",
    "ReservationGrant",
    "Subscription",
    "Upload",
    "User",
    "WorkerProcess",
    "metadata",
]
