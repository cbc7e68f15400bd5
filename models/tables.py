"""Every table, imported once, so that the metadata is whole (migrations, tests)."""

from models.accounts import Account, User
from models.acts import Act
from models.announcements import Announcement
from models.answered import AnsweredRequest
from models.base import metadata
from models.callbacks import ProviderCallback
from models.catalogue import CatalogueModel
from models.clock import ClockJump
from models.credits import Grant, LedgerEntry, Reservation, ReservationGrant
from models.deliveries import Delivery, DeliveryLine
from models.events import Event
from models.fleet import Duty, WorkerProcess
from models.inbound import InboundEvent
from models.jobs import Asset, Attempt, IdempotencyKey, Job, JobRun
from models.keys import ApiKey, KeySpending
from models.notifications import Notification
from models.plans import Plan
from models.probes import Probe
from models.provider_keys import ProviderKey
from models.providers import ProviderRow
from models.subscriptions import Subscription
from models.uploads import Upload
from models.webhooks import WebhookEndpoint, WebhookSecret

__all__ = [
    "Account",
    "Act",
    "Announcement",
    "AnsweredRequest",
    "ApiKey",
    "Asset",
    "Attempt",
    "CatalogueModel",
    "ClockJump",
    "Delivery",
    "DeliveryLine",
    "Duty",
    "Event",
    "Grant",
    "IdempotencyKey",
    "InboundEvent",
    "Job",
    "JobRun",
    "KeySpending",
    "LedgerEntry",
    "Notification",
    "Plan",
    "Probe",
    "ProviderCallback",
    "ProviderKey",
    "ProviderRow",
    "Reservation",
    "ReservationGrant",
    "Subscription",
    "Upload",
    "User",
    "WebhookEndpoint",
    "WebhookSecret",
    "WorkerProcess",
    "metadata",
]
