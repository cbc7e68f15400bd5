"""Every table, imported once, so that the metadata is whole (migrations, tests)."""

from models.access.api_keys import ApiKey, KeySpending
from models.access.audit_log import Act
from models.access.browser_tokens import BrowserToken
from models.accounts.accounts import Account, User
from models.accounts.paid_periods import SubscriptionPayment
from models.accounts.subscriptions import Subscription
from models.catalogue.entries import CatalogueModel
from models.catalogue.packs import Pack
from models.catalogue.plans import Plan
from models.catalogue.provider_keys import ProviderKey
from models.catalogue.providers import ProviderRow
from models.catalogue.switches import FeatureList
from models.columns import metadata
from models.content.tables import (
    Article,
    ArticleCount,
    ArticleLike,
    ArticleRevision,
    ArticleShelf,
    SlugCount,
)
from models.credits.hold_rows import CreditHold, HoldGrant
from models.credits.label_limits import LabelLimit, LabelSpending
from models.credits.ledger import Grant, LedgerEntry, Reservation, ReservationGrant
from models.credits.proofs import AuditMark
from models.events.announcements import Announcement
from models.events.deliveries import Delivery, DeliveryQueue
from models.events.endpoints import WebhookEndpoint, WebhookSecret
from models.events.events import Event
from models.events.notifications import Notification
from models.files.cdn_purges import CdnPurge
from models.files.room import StoredKind
from models.files.uploads import Upload
from models.fleet.probes import Probe
from models.fleet.processes import DutyRow, WorkerProcess
from models.gallery.tables import Collection, CollectionItem, CollectionMember, GalleryItem, ItemLike, ShareLink
from models.identity.erasures import Erasure
from models.identity.inbound import InboundEvent
from models.jobs.answered import AnsweredRequest
from models.jobs.batch_rows import Batch, BatchOrder
from models.jobs.callbacks import ProviderCallback
from models.jobs.clock import ClockJump
from models.jobs.pauses import Pause
from models.jobs.restored import RestoredJob
from models.jobs.tables import Asset, Attempt, IdempotencyKey, Job, JobRun
from models.learning.tables import (
    Course,
    CourseCount,
    CourseModule,
    Enrolment,
    Lesson,
    LessonProgress,
    LessonVisit,
    QuizAttempt,
    QuizQuestion,
)
from models.operations.archived import ArchivedFile, ForgottenRow
from models.operations.bulk_rows import BulkRun
from models.operations.spending import ProviderDay
from models.operations.walks import PassedOver
from models.payments.promotions import Promotion, PromotionUse
from models.payments.refills import Refill
from models.payments.tables import Payment, Refund
from models.playground.kept import KeptText
from models.playground.sessions import PlaygroundSession
from models.playground.summaries import Summary
from models.provisioning.tables import WebAccount, WebCredential, WebMonth, WebUsage
from models.usage.entries import UsageEntry
from models.usage.usage import UsageQuarter

__all__ = [
    "Account",
    "Act",
    "Announcement",
    "AnsweredRequest",
    "ApiKey",
    "ArchivedFile",
    "Article",
    "ArticleCount",
    "ArticleLike",
    "ArticleRevision",
    "ArticleShelf",
    "Asset",
    "Attempt",
    "AuditMark",
    "Batch",
    "BatchOrder",
    "BrowserToken",
    "BulkRun",
    "CatalogueModel",
    "CdnPurge",
    "ClockJump",
    "Collection",
    "CollectionItem",
    "CollectionMember",
    "Course",
    "CourseCount",
    "CourseModule",
    "CreditHold",
    "Delivery",
    "DeliveryQueue",
    "DutyRow",
    "Enrolment",
    "Erasure",
    "Event",
    "FeatureList",
    "ForgottenRow",
    "GalleryItem",
    "Grant",
    "HoldGrant",
    "IdempotencyKey",
    "InboundEvent",
    "ItemLike",
    "Job",
    "JobRun",
    "KeptText",
    "KeySpending",
    "LabelLimit",
    "LabelSpending",
    "LedgerEntry",
    "Lesson",
    "LessonProgress",
    "LessonVisit",
    "Notification",
    "Pack",
    "PassedOver",
    "Pause",
    "Payment",
    "Plan",
    "PlaygroundSession",
    "Probe",
    "Promotion",
    "PromotionUse",
    "ProviderCallback",
    "ProviderDay",
    "ProviderKey",
    "ProviderRow",
    "QuizAttempt",
    "QuizQuestion",
    "Refill",
    "Refund",
    "Reservation",
    "ReservationGrant",
    "RestoredJob",
    "ShareLink",
    "SlugCount",
    "StoredKind",
    "Subscription",
    "SubscriptionPayment",
    "Summary",
    "Upload",
    "UsageEntry",
    "UsageQuarter",
    "User",
    "WebAccount",
    "WebCredential",
    "WebMonth",
    "WebUsage",
    "WebhookEndpoint",
    "WebhookSecret",
    "WorkerProcess",
    "metadata",
]
