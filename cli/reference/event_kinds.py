"""Every kind of event: when it happens, and who is told how."""

from collections.abc import Mapping

from cli.reference.markdown import cell, code, page_of, plain, table
from models.events import kinds
from models.events.notifications import NOTICES

INTRODUCTION = """\
What happens in an account is an event of one of these kinds. Those in the first table have the account's next number, are kept,
replayed and sent to webhooks; some are also shown as a notification, and mailed where mail is set up. What each carries as its data,
and how to listen, is in [events.md](../events.md); how they are signed and sent in [webhooks.md](../webhooks.md)."""
# A kind without a line here is found by `make check`.
MEANINGS: Mapping[str, str] = {
    "announcement": "The operator has told all accounts something.",
    "assets.deleted": "The account has deleted results.",
    "assets.expired": "Results have passed their time; one event for all that a sweep has found.",
    "batch.completed": "All jobs of a batch have ended.",
    "course.completed": "A course was completed; there is a certificate.",
    "credits.expired": "Credits have lapsed with their grant.",
    "credits.granted": "Credits came: a plan's month, a purchase, a gift, a correction.",
    "credits.low": "The available credits have fallen below a limit.",
    "credits.revoked": "Credits were taken back.",
    "hold.created": "Credits were set aside without a job.",
    "hold.expired": "A hold has passed its time; what was left went back.",
    "hold.released": "What was left of a hold went back.",
    "hold.settled": "A part of a hold was taken.",
    "job.canceled": "A job has ended: canceled, and refunded or charged as its model says.",
    "job.failed": "A job has ended: failed, and refunded.",
    "job.output": "A result of a job is there; comes before the job's end.",
    "job.progress": "How far the provider is, in percent.",
    "job.queued": "A job was accepted, and its credits are reserved.",
    "job.running": "An attempt has begun, or a stream has, and the job runs.",
    "job.succeeded": "A job has ended: its results are stored, and its credits taken.",
    "job.text": "What is new of a text that is being written; on its job's stream alone.",
    "job.waiting": "A job waits again, and why.",
    "payment.changed": "A payment has another status.",
    "payment.succeeded": "A payment was received, and what it buys was given.",
    "refill.paused": "The automatic refill has stopped until the account says to go on.",
    "subscription.canceled": "A subscription was canceled; it runs to its end.",
    "subscription.changed": "Another plan runs from now on.",
    "subscription.expired": "A subscription is over; the account is on the default plan.",
    "subscription.extended": "A payment has lengthened a subscription.",
    "subscription.overdue": "A subscription was not renewed in time; its days of grace run.",
    "subscription.period": "A month of a subscription has begun.",
    "subscription.planned": "Another plan follows at the end of this one.",
    "subscription.resumed": "A canceled subscription goes on after all.",
    "subscription.started": "A subscription, or its trial, has begun.",
    "webhook.disabled": "A webhook that failed for too long was switched off.",
}  # fmt: skip


def page() -> str:
    """The page: stored kinds, then those that only who listens hears of."""
    stored = [(code(kind), meaning(kind), _told(kind)) for kind in kinds.STORED]
    live = [(code(kind), meaning(kind)) for kind in kinds.LIVE]
    return page_of(
        "Kinds of events",
        INTRODUCTION,
        "## Kept and delivered",
        table(("kind", "when", "told to people"), stored),
        "## Live only",
        "These reach who listens just then: no number, not replayed, not sent to webhooks.",
        table(("kind", "when"), live),
    )


def meaning(kind: str) -> str:
    """When a kind happens. Raises LookupError where nobody has said so."""
    if kind not in MEANINGS:
        raise LookupError(f"say in {__name__} when {kind} happens")
    return MEANINGS[kind]


def _told(kind: str) -> str:
    if kind not in NOTICES:
        return "–"
    notice = NOTICES[kind]
    return cell(f"{'notification and mail' if notice.mail else 'notification'}: “{plain(notice.title)}”")
