"""Every table, imported once, so that the metadata is whole (migrations, tests)."""

from models.accounts import Account, User
from models.acts import Act
from models.base import metadata
from models.callbacks import ProviderCallback
from models.catalogue import CatalogueModel
from models.credits import Grant, LedgerEntry, Reservation, ReservationGrant
from models.events import Event
from models.fleet import Duty, WorkerProcess
from models.inbound import InboundEvent
from models.jobs import Asset, Attempt, IdempotencyKey, Job, JobRun
from models.keys import ApiKey, KeySpending
from models.plans import Plan
from models.provider_keys import ProviderKey
from models.providers import ProviderRow
from models.subscriptions import Subscription
from models.uploads import Upload

__all__ = [
    "Account",
    "Act",
    "ApiKey",
    "Asset",
    "Attempt",
    "CatalogueModel",
    "Duty",
    "Event",
    "Grant",
    "IdempotencyKey",
    "InboundEvent",
    "Job",
    "JobRun",
    "KeySpending",
    "LedgerEntry",
    "Plan",
    "ProviderCallback",
    "ProviderKey",
    "ProviderRow",
    "Reservation",
    "ReservationGrant",
    "Subscription",
    "Upload",
    "User",
    "WorkerProcess",
    "metadata",
]
