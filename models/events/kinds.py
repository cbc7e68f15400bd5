"""What can happen in an account: the one vocabulary of events.

Webhooks, streams, notices, the OpenAPI document and docs/events.md take their words from here. What an event entails once it
is written stands in `models.events.events`.
"""

JOB_ENDS = ("job.succeeded", "job.failed", "job.canceled")
JOB_EVENTS = ("job.queued", "job.output", *JOB_ENDS)
# Each has the account's next number and is kept, delivered and replayed.
STORED = (
    *JOB_EVENTS, "assets.deleted", "assets.expired", "credits.granted", "credits.low", "credits.expired", "credits.revoked",
    "hold.created", "hold.settled", "hold.released", "hold.expired",
    "subscription.started", "subscription.extended", "subscription.changed", "subscription.period",
    "subscription.planned", "subscription.canceled", "subscription.resumed", "subscription.overdue",
    "subscription.expired", "payment.succeeded", "payment.changed", "refill.paused", "batch.completed", "course.completed", "announcement", "webhook.disabled",
)  # fmt: skip
# These reach who listens just then, and nobody later.
JOB_TEXT = "job.text"  # what is new of a text that is being written
JOB_RUNNING, JOB_WAITING = "job.running", "job.waiting"  # how a job stands: told again to who may have missed it
LIVE = (JOB_RUNNING, "job.progress", JOB_WAITING, JOB_TEXT)
