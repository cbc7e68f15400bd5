"""What is sent and answered, as types. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import Field

from headrace_client._base import Shape

PaymentProblem = Literal["underpaid", "overpaid", "other_currency", "not_given"] | str
PaymentStatus = (
    Literal[
        "pending",
        "processing",
        "paid",
        "expired",
        "failed",
        "partly_refunded",
        "refunded",
        "refund_failed",
        "inquiry",
        "disputed",
        "won",
        "lost",
    ]
    | str
)


class AccountChange(Shape):
    """What a user is on. `premiumExpiresAt`: left out, or null as it is answered: none."""

    billingStatus: str
    planTier: str
    premiumExpiresAt: int | None = None
    userId: str


class AccountPayment(Shape):
    """A payment, and whose it is."""

    account_id: str
    company: str
    company_payment_id: str | None = Field(default=None, description="What the payment is at its company.")
    created_at: dt.datetime
    credits: int = Field(description="What it gives when it is paid; a plan's periods give theirs.")
    credits_given: int = Field(description="What it has given, less what was taken back.")
    currency: str
    expires_at: dt.datetime
    id: str
    interval: Literal["monthly", "yearly"] | str | None = None
    pack: str | None = None
    paid: str | None = None
    paid_at: dt.datetime | None = None
    pay_url: str | None = Field(default=None, description="Where to pay, while it can be paid.")
    plan: str | None = None
    price: str
    problem: PaymentProblem | None = None
    reason: str | None = Field(default=None, description="Why it failed, in the company's words.")
    refunded: str
    status: PaymentStatus


class AccountPaymentPage(Shape):
    """Payments of all accounts, newest first."""

    data: list[AccountPayment]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Act(Shape):
    """One act: who, what, when, from where."""

    action: str
    actor: str
    address: str | None = None
    at: dt.datetime
    details: dict[str, Any]
    id: int
    key_id: str | None = None
    subject: str


class ActPage(Shape):
    """The audit log, newest first."""

    data: list[Act]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Acted(Shape):
    """What was done. `credits`: reserved anew by a retry, else given back, or to be once the job has stopped."""

    credits: int
    job_id: str
    new_job_id: str | None = None


class Again(Shape):
    """Which deliveries to send again: of this time, those that did not arrive, or all."""

    since: dt.datetime = Field(description="Without an offset: UTC.")
    until: dt.datetime | None = None
    which: Literal["failed", "all"] | None = None


class Announcement(Shape):
    """An announcement, and how many accounts have been notified so far."""

    body: str
    created_at: dt.datetime
    finished_at: dt.datetime | None = None
    id: str
    notified: int
    plan_id: str | None = None
    title: str


class AnnouncementPage(Shape):
    """Announcements, newest first."""

    data: list[Announcement]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class CourseProgress(Shape):
    """A course as one learner has it. `completed_at` stays when lessons are added later."""

    certificate_url: str | None = Field(default=None, description="Where anybody can see that it was completed.")
    completed: int
    completed_at: dt.datetime | None = None
    course_id: str
    enrolled_at: dt.datetime | None = None
    lessons: int
    percent: int
    seconds: int = Field(description="Spent in these lessons.")


class LessonProgress(Shape):
    """A lesson as one learner has it. Without `started_at` they have not begun it."""

    completed_at: dt.datetime | None = None
    lesson_id: str
    module_id: str
    score: int | None = Field(default=None, description="Percent, the best so far.")
    seconds: int
    started_at: dt.datetime | None = None


class ModuleProgress(Shape):
    """A module as one learner has it."""

    completed: int
    lessons: int
    module_id: str
    percent: int
    seconds: int = Field(description="Spent in these lessons.")


class LessonReported(Shape):
    """How far a learner has come in a lesson, its module and its course."""

    course: CourseProgress
    lesson: LessonProgress
    module: ModuleProgress


class GradedQuestion(Shape):
    """A question with what was chosen, what was right, and why."""

    chosen: list[int]
    explanation: str
    id: str
    is_right: bool
    kind: Literal["single", "multiple"] | str
    options: list[str]
    right_options: list[int]
    text: str


class AnsweredQuiz(Shape):
    """An attempt with its answers, and how far the learner has come by it."""

    created_at: dt.datetime
    id: str
    lesson_id: str
    passed: bool
    progress: LessonReported
    questions: list[GradedQuestion]
    score: int = Field(description="Percent, rounded down.")


class Citation(Shape):
    """A source that an article names."""

    title: str
    url: str | None = None


class Paper(Shape):
    """What research is about."""

    authors: list[str] | None = None
    title: str
    url: str | None = None
    year: int | None = None


class Article(Shape):
    """An article as its editors see it."""

    body: str
    citations: list[Citation]
    created_at: dt.datetime
    created_by: str
    html: str
    id: str
    implication: str | None = None
    kind: Literal["tool", "use_case", "regulation"] | str | None = None
    paper: Paper | None = None
    premium: bool
    published_at: dt.datetime | None = None
    section: Literal["news", "research"] | str
    slug: str
    state: Literal["draft", "published", "deleted"] | str = Field(
        description="`published` and a `published_at` that lies ahead: it waits for it."
    )
    tags: list[str]
    teaser: str | None = None
    title: str
    updated_at: dt.datetime
    updated_by: str
    version: int = Field(description="Send it as If-Match with a change.")


class ArticleChange(Shape):
    """What is to be otherwise. What is absent stays; null takes a teaser, an implication or a paper away."""

    body: str | None = None
    citations: list[Citation] | None = None
    implication: str | None = Field(default=None, description="Markdown; of research alone.")
    kind: Literal["tool", "use_case", "regulation"] | None = None
    paper: Paper | None = Field(default=None, description="Of research alone.")
    premium: bool | None = None
    tags: list[str] | None = None
    teaser: str | None = Field(default=None, description="Null: the beginning of the body.")
    title: str | None = None


class ArticleHead(Shape):
    """An article in an editor's list."""

    created_at: dt.datetime
    created_by: str
    id: str
    kind: Literal["tool", "use_case", "regulation"] | str | None = None
    premium: bool
    published_at: dt.datetime | None = None
    section: Literal["news", "research"] | str
    slug: str
    state: Literal["draft", "published", "deleted"] | str = Field(
        description="`published` and a `published_at` that lies ahead: it waits for it."
    )
    tags: list[str]
    title: str
    updated_at: dt.datetime
    updated_by: str
    version: int = Field(description="Send it as If-Match with a change.")


class Teaser(Shape):
    """What everybody gets of an article."""

    id: str
    kind: Literal["tool", "use_case", "regulation"] | str | None = None
    likes: int
    premium: bool
    published_at: dt.datetime
    section: Literal["news", "research"] | str
    slug: str
    tags: list[str]
    teaser: str
    title: str
    updated_at: dt.datetime
    url: str = Field(description="Where people read it.")
    views: int = Field(description="Counted together, some seconds late.")


class ArticlePage(Shape):
    """Articles, newest first."""

    data: list[Teaser]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class AskedQuestion(Shape):
    """A question as a learner gets it. `single`: one option is right; `multiple`: all that are right have to be chosen."""

    id: str
    kind: Literal["single", "multiple"] | str
    options: list[str]
    text: str


class BalanceAfter(Shape):
    """The account's credits then."""

    account_id: str
    available: int
    debt: int
    reserved: int


class BatchCounts(Shape):
    """How many of a batch's jobs stand where."""

    canceled: int
    failed: int
    queued: int
    running: int
    succeeded: int


class JobCredits(Shape):
    """What a job holds and what it cost in the end."""

    charged: int | None = None
    reserved: int


class Batch(Shape):
    """A batch. In a list, `counts` and what is made of them are null while it is under way."""

    accepted: int
    counts: BatchCounts | None = None
    created_at: dt.datetime
    credits: JobCredits
    ended_at: dt.datetime | None = None
    estimate_seconds: int | None = Field(
        default=None, description="Until all have ended, if it goes on as it went so far."
    )
    id: str
    max_running: int | None = None
    orders: int
    progress: int | None = Field(default=None, description="Percent of its jobs that have ended.")
    refused: int
    status: Literal["running", "canceling", "completed", "canceled"] | str = Field(
        description="`canceled`: it was asked to stop before all had ended."
    )


class BatchPage(Shape):
    """Batches, newest first."""

    data: list[Batch]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class JobError(Shape):
    """Why a job failed."""

    code: str
    message: str | None = None


class Output(Shape):
    """A stored result."""

    duration_seconds: float | None = None
    expires_at: dt.datetime | None = Field(default=None, description="Null: it is kept for ever.")
    height: int | None = None
    id: str
    kept: bool = Field(description="Past its plan's time, until it is deleted.")
    media_type: str
    sha256: str
    size_bytes: int
    status: Literal["stored", "expired", "deleted"] | str
    thumbnail_url: str | None = None
    url: str
    width: int | None = None


class BatchResult(Shape):
    """One line of a batch's results."""

    credits: JobCredits | None = None
    custom_id: str | None = None
    error: JobError | None = Field(default=None, description="Of a line that was refused, with `param` besides.")
    job: str | None = None
    model: str | None = None
    number: int = Field(description="Of its line in the body, from 1.")
    outputs: list[Output]
    status: Literal["queued", "running", "succeeded", "failed", "canceled", "refused"]


class Because(Shape):
    """Why it is done."""

    reason: str = Field(description="Why, for the audit log.")


class BulkRun(Shape):
    """A bulk run, and how far it has come."""

    act: str
    actor: str
    created_at: dt.datetime
    credits: int
    credits_done: int
    done: int
    filter: dict[str, Any]
    finished_at: dt.datetime | None = None
    id: str
    jobs: int = Field(description="That fitted when it was ordered.")
    left: int
    reason: str
    reasons: dict[str, int] = Field(description="Why jobs were skipped, and how many.")
    skipped: int
    status: Literal["running", "stopped", "done"] | str


class BulkAnswer(Shape):
    """How many jobs fit, and the credits that a retry would reserve at their old prices, or that would be given back. `run`: null
    for a dry run."""

    credits: int
    jobs: int
    run: BulkRun | None = None


class JobFilter(Shape):
    """What the jobs have in common; what is left out may be anything. Times are those at which they were ordered."""

    account_id: str | None = None
    error: str | None = Field(default=None, description="The code that the job, or one of its attempts, failed with.")
    label: str | None = Field(default=None, description="name:value, such as customer:acme.")
    model: str | None = None
    provider: str | None = Field(default=None, description="One of its attempts was there.")
    queue: Literal["interactive", "batch"] | None = None
    since: dt.datetime | None = None
    status: Literal["queued", "running", "reconciling", "succeeded", "failed", "canceled"] | None = Field(
        default=None, description="As operators see it: `reconciling` apart."
    )
    text: str | None = Field(default=None, description="In its input, its error, or as a provider's id of it.")
    until: dt.datetime | None = None


class BulkOrder(Shape):
    """What is done to which jobs."""

    act: Literal["retry", "refund", "discard", "cancel"]
    dry_run: bool | None = Field(default=None, description="Only say how many jobs and credits.")
    filter: JobFilter = Field(
        description="Without a status: failed for retry, succeeded for refund, reconciling for discard, queued for cancel."
    )
    reason: str = Field(description="Why, for the audit log.")


class BulkRunPage(Shape):
    """Bulk runs, newest first."""

    data: list[BulkRun]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Changed(Shape):
    """How many items a request has added, removed or moved, and how many there are now."""

    changed: int
    total: int


class CodeToRedeem(Shape):
    """A promotion code, in any letters."""

    code: str


class Collection(Shape):
    """A collection. `standing` is what whoever asks is to it; `total` counts what is in it, whoever sees it."""

    cover: str | None = Field(default=None, description="The chosen one, or the first that you see.")
    cover_url: str | None = None
    created_at: dt.datetime
    description: str
    id: str
    name: str
    public: bool
    standing: Literal["owner", "editor", "viewer", "public"] | str
    total: int


class CollectionChange(Shape):
    """What is to be different; the rest stays."""

    cover: str | None = Field(default=None, description="One of its items; null: the first.")
    description: str | None = None
    name: str | None = None
    public: bool | None = None


class CollectionPage(Shape):
    """Collections, newest first."""

    data: list[Collection]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class CollectionRequest(Shape):
    """A collection to make."""

    description: str | None = Field(default=None, description="At most 2000 characters.")
    name: str = Field(description="At most 200 characters.")
    public: bool | None = None


class ContentFigures(Shape):
    """Articles of a section and kind that there are now; `new` bear a date of the span, `published` has those that wait too."""

    drafts: int
    kind: Literal["tool", "use_case", "regulation"] | str | None = None
    likes: int
    new: int
    published: int
    section: Literal["news", "research"] | str
    views: int


class Count(Shape):
    """How many. At most 10,000 in one call: call again until it is less."""

    count: int


class Course(Shape):
    """A course. `lessons` are those that are published; `enrolled` have begun it, `completed` have completed it."""

    completed: int
    cover_url: str | None = None
    created_at: dt.datetime
    description: str
    enrolled: int
    id: str
    lessons: int
    level: Literal["basic", "intermediate", "advanced"] | str
    published_at: dt.datetime | None = None
    slug: str
    status: Literal["draft", "published"] | str
    title: str
    version: int = Field(
        description="Grows with each change of what it says. The ETag, which a change may name as If-Match."
    )


class CourseChange(Shape):
    """What is to be different; the rest stays."""

    cover_url: str | None = None
    description: str | None = None
    level: Literal["basic", "intermediate", "advanced"] | None = None
    slug: str | None = None
    status: Literal["draft", "published"] | None = None
    title: str | None = None


class ModuleOrder(Shape):
    """A module's lessons in their new order."""

    id: str
    lessons: list[str]


class CourseOrder(Shape):
    """All modules of a course and all lessons in them, each once, in their new order."""

    modules: list[ModuleOrder]


class OutlineLesson(Shape):
    """A lesson as its course names it; `questions` are those of its quiz."""

    access: Literal["preview", "pro"] | str
    id: str
    questions: int
    status: Literal["draft", "published"] | str
    title: str


class OutlineModule(Shape):
    """A module and its lessons, in order."""

    id: str
    lessons: list[OutlineLesson]
    title: str


class CourseOutline(Shape):
    """A course with its modules and their lessons, in order."""

    completed: int
    cover_url: str | None = None
    created_at: dt.datetime
    description: str
    enrolled: int
    id: str
    lessons: int
    level: Literal["basic", "intermediate", "advanced"] | str
    modules: list[OutlineModule]
    published_at: dt.datetime | None = None
    slug: str
    status: Literal["draft", "published"] | str
    title: str
    version: int = Field(
        description="Grows with each change of what it says. The ETag, which a change may name as If-Match."
    )


class CoursePage(Shape):
    """Courses, newest first."""

    data: list[Course]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class WebCredential(Shape):
    """A credential at a provider."""

    expiresAt: int = Field(description="Unix milliseconds.")
    id: str
    issuedAt: int = Field(description="Unix milliseconds.")
    lastRotatedAt: int | None = Field(default=None, description="Unix milliseconds.")
    metadata: dict[str, Any] | None = Field(default=None, description="Any JSON object; at most 16384 bytes.")
    planTier: str
    provider: str
    providerReference: str | None = None
    salt: str
    scopes: list[str]
    status: str = Field(description="`active` is found while it has not expired; `revoked` is for good.")
    tokenHash: str
    userId: str


class CredentialList(Shape):
    """The newest first. `next`: send it as `cursor`; it is there only if there are more."""

    credentials: list[WebCredential]
    next: str | None = None


class CreditAlerts(Shape):
    """Below how many credits `credits.low` is told, highest first."""

    limits: list[int]
    own: bool = Field(description="False: they are those of this deployment.")


class CreditFigures(Shape):
    """Credits that were moved, and what accounts have and owe now."""

    available: int
    expired: int
    given: int
    owed: int
    reserved: int
    revoked: int
    sold: int
    spent: int
    spent_per_day: float


class Credits(Shape):
    """The account's balance and plan."""

    available: int
    debt: int
    event_number: int = Field(
        description="Of the newest event that this includes: `GET /v1/events?after=` goes on from it."
    )
    plan: str
    reserved: int
    slots: int
    slots_in_use: int
    storage_bytes: int
    storage_quota_bytes: int


class DefaultSecret(Shape):
    """What signs deliveries to addresses that jobs bring."""

    key: str


class DeliveryAttempt(Shape):
    """One attempt. `status` is null where no answer came; `error` says why."""

    at: dt.datetime
    error: str | None = None
    milliseconds: int
    response: str | None = Field(default=None, description="The answer's first 1,024 characters.")
    status: int | None = None
    url: str | None = Field(default=None, description="Where it was sent.")


class Delivery(Shape):
    """One event for one receiver. Its id is the `webhook-id` header of every attempt; the body of the request is
    `{"type": event_type, "timestamp": event_at, "data": {…data, "job_id", "number": event_number}}`."""

    attempts: int
    created_at: dt.datetime
    data: dict[str, Any]
    delivered_at: dt.datetime | None = None
    event_at: dt.datetime
    event_number: int | None = None
    event_type: str
    id: str
    job_id: str | None = None
    log: list[DeliveryAttempt]
    next_at: dt.datetime | None = None
    status: Literal["pending", "delivered", "failed", "disabled"] | str
    url: str | None = Field(default=None, description="Where a job brought the address.")
    webhook_id: str | None = None


class DeliveryPage(Shape):
    """Deliveries, newest first."""

    data: list[Delivery]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class DeskPage(Shape):
    """Articles, those that were begun last first."""

    data: list[ArticleHead]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Drained(Shape):
    """The worker process that takes no more jobs."""

    worker_id: str


class Enrolment(Shape):
    """A course that somebody has begun."""

    certificate_url: str | None = None
    completed: int
    completed_at: dt.datetime | None = None
    course_id: str
    cover_url: str | None = None
    enrolled_at: dt.datetime
    id: str
    is_there: bool = Field(description="False: the course is not published any more.")
    lessons: int
    level: Literal["basic", "intermediate", "advanced"] | str
    percent: int
    seconds: int = Field(description="Spent in these lessons.")
    slug: str
    title: str


class EnrolmentPage(Shape):
    """Courses that somebody has begun, the newest first."""

    data: list[Enrolment]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Entry(Shape):
    """A movement of credits."""

    amount: int
    available_after: int
    created_at: dt.datetime
    from_bucket: str
    grant_id: str | None = None
    hold_id: str | None = None
    id: int
    job_id: str | None = None
    kind: str
    reserved_after: int
    to_bucket: str


class EntryPage(Shape):
    """Ledger entries, newest first."""

    data: list[Entry]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class EraseRequest(Shape):
    """Why, and whether it is only asked what would go."""

    dry_run: bool | None = None
    reason: str = Field(description="Why, for the audit log.")


class Erasure(Shape):
    """What of a person is there still that goes, and how far it is."""

    account_id: str
    available_credits: int = Field(description="Nobody can spend them any more.")
    begun_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    goes: dict[str, int] = Field(description="Rows of each kind that are left to erase, counted to 100,000.")
    user_id: str


class Event(Shape):
    """Something that happened. Numbers are the account's own, without gaps; what is only live has none."""

    created_at: dt.datetime | None = None
    data: dict[str, Any]
    job_id: str | None = None
    number: int | None = None
    type: str = Field(
        description="job.queued, job.output, job.succeeded, job.failed, job.canceled, assets.deleted, assets.expired, credits.granted, credits.low, credits.expired, credits.revoked, hold.created, hold.settled, hold.released, hold.expired, subscription.started, subscription.extended, subscription.changed, subscription.period, subscription.planned, subscription.canceled, subscription.resumed, subscription.overdue, subscription.expired, payment.succeeded, payment.changed, refill.paused, batch.completed, course.completed, announcement, webhook.disabled, reset; only live: job.running, job.progress, job.waiting, job.text."
    )


class EventPage(Shape):
    """Events, oldest first. On the last page, the last one's number is where to go on later, as `after`."""

    data: list[Event]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class ExportedThing(Shape):
    """One line: what kind of thing it is, and what is stored of it. The last is of the kind `end`, with the number of `lines` before
    it: without it the export broke off."""

    data: dict[str, Any]
    kind: str


class File(Shape):
    """An uploaded file."""

    created_at: dt.datetime
    duration_seconds: float | None = None
    expires_at: dt.datetime
    height: int | None = None
    id: str
    media_type: str
    object: Literal["file"] | str
    sha256: str
    size_bytes: int
    url: str
    width: int | None = None


class FilePage(Shape):
    """Uploaded files, newest first."""

    data: list[File]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class FindCredential(Shape):
    """Whose credential, and where."""

    provider: str
    userId: str


class Found(Shape):
    """An article that fits."""

    excerpt: str = Field(description="HTML with no element but <mark>.")
    id: str
    kind: Literal["tool", "use_case", "regulation"] | str | None = None
    likes: int
    premium: bool
    published_at: dt.datetime
    section: Literal["news", "research"] | str
    slug: str
    tags: list[str]
    teaser: str
    title: str
    updated_at: dt.datetime
    url: str = Field(description="Where people read it.")
    views: int = Field(description="Counted together, some seconds late.")


class FoundCredential(Shape):
    """The newest that holds, or none."""

    credential: WebCredential | None = None


class FoundJob(Shape):
    """A job as operators find it."""

    account_id: str
    attempts: int
    charged: int | None = None
    created_at: dt.datetime
    ended_at: dt.datetime | None = None
    error: str | None = None
    id: str
    labels: dict[str, str] | None = None
    model: str
    provider: str | None = None
    queue: str
    reason: str | None = None
    reserved: int
    status: Literal["queued", "running", "reconciling", "succeeded", "failed", "canceled"] | str


class FoundJobPage(Shape):
    """Jobs of all accounts, newest first. A page may have fewer than `limit`, or none, and `next` go on all the same."""

    data: list[FoundJob]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class FoundPage(Shape):
    """Articles that fit, the best first."""

    data: list[Found]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class GetAccount(Shape):
    """Whose account."""

    userId: str


class GradedAttempt(Shape):
    """An attempt with its answers."""

    created_at: dt.datetime
    id: str
    lesson_id: str
    passed: bool
    questions: list[GradedQuestion]
    score: int = Field(description="Percent, rounded down.")


class Grant(Shape):
    """A lot of credits."""

    amount: int
    expires_at: dt.datetime | None = None
    id: str
    kind: str
    kinds: list[str] | None = Field(default=None, description="The same, by kind.")
    models: list[str] | None = Field(default=None, description="What alone it pays for, if it says so.")
    paid_currency: str | None = None
    paid_per_credit: str | None = Field(default=None, description="What was paid for one, in `paid_currency`.")
    priority: int = Field(description="Those of a higher one are used first.")
    remaining: int


class GrantPage(Shape):
    """Grants with credits left, in the order in which they are used."""

    data: list[Grant]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class HandPlanChange(Shape):
    """The plan that a running subscription changes to, whatever it costs, and why."""

    plan: str = Field(description="A plan's id.")
    reason: str = Field(description="Why, for the audit log.")
    when: Literal["now", "period_end"] | None = None


class HandSubscription(Shape):
    """A plan's months that are given by hand, and why."""

    interval: Literal["monthly", "yearly"] | None = None
    plan: str = Field(description="A plan's id.")
    reason: str = Field(description="Why, for the audit log.")


class Hold(Shape):
    """Credits set aside. `held` is what still is; `amount` is `held`, `settled` and `released` together."""

    amount: int
    created_at: dt.datetime
    ended: Literal["settled", "released", "expired"] | str | None = Field(
        default=None, description="How it ended; null while anything is held."
    )
    ended_at: dt.datetime | None = None
    expires_at: dt.datetime
    held: int
    id: str
    kind: Literal["image", "video", "speech", "text"] | str | None = None
    labels: dict[str, str]
    model: str | None = None
    reference: str | None = None
    released: int
    settled: int


class HoldExtension(Shape):
    """How long it is to live from now on; no hold ends sooner for it."""

    seconds: int = Field(description="From now, until what is held goes back by itself.")


class HoldPage(Shape):
    """Holds, newest first."""

    data: list[Hold]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class HoldRelease(Shape):
    """How much of it goes back; all that is held, if absent."""

    amount: int | None = None


class HoldRequest(Shape):
    """Credits to set aside."""

    amount: int
    kind: Literal["image", "video", "speech", "text"] | None = Field(default=None, description="The same, by kind.")
    labels: dict[str, str] | None = None
    model: str | None = Field(default=None, description="What it is for, where credits are for some models alone.")
    reference: str | None = Field(default=None, description="Your own name for it: once per account.")
    seconds: int | None = Field(default=None, description="From now, until what is held goes back by itself.")


class HoldSettlement(Shape):
    """How much of it is spent."""

    amount: int
    release_rest: bool | None = Field(default=None, description="Give back what is then still held.")


class Invitation(Shape):
    """An invitation to your own address."""

    collection: str
    created_at: dt.datetime
    id: str
    name: str
    role: Literal["viewer", "editor"] | str


class InvitationPage(Shape):
    """Invitations, newest first."""

    data: list[Invitation]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Item(Shape):
    """A stored result to look at or listen to. Of somebody else's, `job` is null."""

    created_at: dt.datetime
    duration_seconds: float | None = None
    expires_at: dt.datetime | None = Field(default=None, description="Null: it is kept for ever.")
    height: int | None = None
    id: str
    job: str | None = None
    kind: Literal["image", "video", "sound"] | str
    liked: bool = Field(description="By whoever asks.")
    likes: int
    media_type: str
    model: str
    own: bool
    prompt: str | None = None
    public: bool
    published_at: dt.datetime | None = None
    seed: int | None = None
    sha256: str
    size_bytes: int
    thumbnail_url: str | None = None
    title: str | None = None
    url: str
    width: int | None = None


class ItemChange(Shape):
    """What is to be different; the rest stays."""

    public: bool | None = Field(default=None, description="False: nobody else sees it, in no collection either.")
    title: str | None = Field(default=None, description="At most 200 characters; null: none.")


class ItemPage(Shape):
    """Items."""

    data: list[Item]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class ItemsRequest(Shape):
    """Items by their ids."""

    items: list[str]


class Waiting(Shape):
    """Why a job waits. Position 0: a worker may take it at any moment."""

    estimate_seconds: int | None = None
    position: int | None = None
    reason: str | None = None


class Job(Shape):
    """A job."""

    attempts: int
    cancel_requested: bool
    created_at: dt.datetime
    credits: JobCredits
    ended_at: dt.datetime | None = None
    error: JobError | None = None
    id: str
    input: dict[str, Any]
    input_erased_at: dt.datetime | None = Field(
        default=None, description="Since when the input is not kept: it is empty, and the job cannot be retried."
    )
    labels: dict[str, str]
    model: str
    outputs: list[Output]
    progress: int | None = Field(default=None, description="Percent, where the provider tells.")
    queue: Literal["interactive", "batch"] | str
    retry_of: str | None = None
    started_at: dt.datetime | None = None
    status: Literal["queued", "running", "succeeded", "failed", "canceled"] | str
    waiting: Waiting | None = None


class JobFigures(Shape):
    """Jobs that were ordered. `mean_seconds` is from start to end, of those that succeeded."""

    canceled: int
    failed: int
    mean_seconds: float | None = None
    ordered: int
    succeeded: int
    success: float | None = None


class JobPage(Shape):
    """Jobs, newest first."""

    data: list[Job]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class JobRefund(Shape):
    """Credits to give back: so many, or all that the job was charged."""

    amount: int | None = None
    reason: str = Field(description="Why, for the audit log.")


class JobRequest(Shape):
    """An order for one job."""

    input: dict[str, Any] = Field(description="Must fit the model's input_schema.")
    labels: dict[str, str] | None = None
    model: str = Field(description="One of GET /v1/models.")
    priority: int | None = Field(default=None, description="Among the account's own jobs; higher goes first.")
    queue: Literal["interactive", "batch"] | None = Field(default=None, description="The model's own, if absent.")
    webhook: str | None = Field(
        default=None, description="Told of this job; signed with GET /v1/webhooks/default/secret."
    )
    webhook_events: list[Literal["job.queued", "job.output", "job.succeeded", "job.failed", "job.canceled"]] | None = (
        Field(default=None, description="The three ends, if absent.")
    )


class KeptUsage(Shape):
    """A report as it is kept; without an id of the caller's it has one of ours."""

    costMinorUnits: int
    id: str
    provider: str
    recordedAt: int
    tokensUsed: int
    userId: str


class Key(Shape):
    """A key as it is listed."""

    created_at: dt.datetime
    expires_at: dt.datetime | None = None
    id: str
    last_used_at: dt.datetime | None = None
    made_by: str | None = Field(default=None, description="The key that made it, whose budget is its too.")
    models: list[str] | None = None
    monthly_credits: int | None = None
    name: str
    per_minute: int | None = None
    prefix: str
    revoked_at: dt.datetime | None = None
    root_id: str = Field(description="The first of the keys that rotation made of one another: they share a budget.")
    scopes: list[str]
    spent_this_month: int
    uses: int = Field(description="Counted about every ten seconds.")


class KeyPage(Shape):
    """Keys: all that are not revoked before those that are, newest first."""

    data: list[Key]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class KindUse(Shape):
    """What is stored of one kind. Uploads are one of their own; of results it is what they are."""

    bytes: int
    files: int
    kind: Literal["image", "video", "speech", "text", "uploads"] | str


class LabelLimit(Shape):
    """A limit of a label."""

    created_at: dt.datetime
    monthly_credits: int
    name: str
    spent_this_month: int | None = Field(default=None, description="Null for `*`, where each value has spent its own.")
    value: str = Field(description="`*`: each value that has no limit of its own.")


class LabelLimitPage(Shape):
    """Limits, by name and value."""

    data: list[LabelLimit]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class LargeFile(Shape):
    """A large file, with its thumbnail's bytes."""

    created_at: dt.datetime
    delete_url: str = Field(description="Send DELETE there to be rid of it.")
    expires_at: dt.datetime | None = Field(default=None, description="Null: it is kept until it is deleted.")
    id: str = Field(description="Of a result, or of an uploaded file.")
    index: int | None = Field(default=None, description="Its place among the job's outputs.")
    job_id: str | None = Field(default=None, description="The job that it is a result of; null: it was uploaded.")
    media_type: str
    size_bytes: int
    url: str


class Lesson(Shape):
    """A lesson. `html` is harmless; `body`, the Markdown that it was made of, is for editors."""

    access: Literal["preview", "pro"] | str
    body: str | None = None
    course_id: str
    created_at: dt.datetime
    html: str
    id: str
    module_id: str
    pass_percent: int = Field(description="How much of its quiz has to be right.")
    questions: int = Field(description="Of its quiz; 0: it has none, and is completed by saying so.")
    status: Literal["draft", "published"] | str
    title: str
    version: int = Field(
        description="Grows with each change of what it says. The ETag, which a change may name as If-Match."
    )
    video_url: str | None = None


class LessonChange(Shape):
    """What is to be different; the rest stays."""

    access: Literal["preview", "pro"] | None = None
    body: str | None = None
    module_id: str | None = None
    pass_percent: int | None = None
    position: int | None = None
    status: Literal["draft", "published"] | None = None
    title: str | None = None
    video_url: str | None = None


class Like(Shape):
    """Whether you like an article, and how many do."""

    liked: bool
    likes: int


class Link(Shape):
    """A share link. Its address is shown once, when it is made. `views` may be some seconds behind."""

    created_at: dt.datetime
    expires_at: dt.datetime | None = None
    has_password: bool
    id: str
    revoked_at: dt.datetime | None = None
    views: int


class LinkPage(Shape):
    """Share links, newest first."""

    data: list[Link]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class LinkRequest(Shape):
    """A link to share a collection by."""

    expires_at: dt.datetime | None = None
    password: str | None = Field(default=None, description="Asked for on the page.")


class ListCredentials(Shape):
    """Nothing, or the page that follows."""

    cursor: str | None = None
    limit: int | None = None


class ListUsage(Shape):
    """Whose usage; and the page, after the first one."""

    cursor: str | None = None
    limit: int | None = None
    userId: str


class TokensUsed(Shape):
    """What the provider counted; null: it did not say."""

    input: int | None = None
    output: int | None = None


class ListedSession(Shape):
    """A saved generation, as lists show it."""

    created_at: dt.datetime
    credits: int | None = Field(default=None, description="What it cost; null until its job has ended.")
    error: JobError | None = None
    id: str
    job: str | None = Field(default=None, description="Whose events tell the text as it is written; of your own alone.")
    mine: bool
    model: str
    public: bool
    status: Literal["queued", "running", "succeeded", "failed", "canceled"] | str = Field(description="Of its job.")
    title: str
    tokens: TokensUsed
    updated_at: dt.datetime


class SummaryError(Shape):
    """Which part has failed, and why. The credits of a part that has failed are given back; a part that has succeeded cost
    what it cost."""

    code: str
    message: str | None = None
    part: Literal["paragraph", "implications"] | str


class ListedSummary(Shape):
    """A summary, as lists show it."""

    created_at: dt.datetime
    credits: int = Field(description="What its parts have cost so far.")
    error: SummaryError | None = None
    id: str
    jobs: list[str]
    kind: Literal["article", "paper"] | str
    model: str
    ordered_by: str
    status: Literal["queued", "running", "succeeded", "failed"] | str = Field(
        description="succeeded: all parts have; failed: one has not, and no text is shown."
    )
    title: str | None = None
    tokens: TokensUsed


class MadeKey(Shape):
    """A new key. The secret is shown now and never again."""

    id: str
    secret: str


class MadeToken(Shape):
    """A new token. It is shown now and never again."""

    account: str
    created_at: dt.datetime
    credits: int | None = None
    expires_at: dt.datetime
    id: str
    job: str | None = None
    made_by: str | None = Field(default=None, description="The key that made it. Null: a person who had signed in.")
    may: list[Literal["read", "stream", "generate"] | str]
    model: str | None = None
    revoked_at: dt.datetime | None = None
    spent: int = Field(description="Reserved by its orders. What comes back of one goes to the account.")
    token: str


class Margin(Shape):
    """In millionths of a dollar: credits spent at what was really paid for them, against what providers took."""

    cost_usd_micros: int
    paid_credits: int
    revenue_usd_micros: int


class MarkPaid(Shape):
    """Money that came by another way, for an order of the company `manual`: its price, if no amount is named."""

    amount: float | str | None = None
    reason: str = Field(description="Why, for the audit log.")


class Marked(Shape):
    """How many were unread until now."""

    count: int


class MyBalance(Shape):
    """Credits."""

    available: int
    debt: int
    reserved: int


class Preferences(Shape):
    """What a user prefers; what they never chose is as the deployment says. `mail`: notices go by mail too; `time_zone`: in
    which their days of usage begin."""

    language: str
    mail: bool
    notifications: bool
    theme: Literal["light", "dark", "system"] | str
    time_zone: str


class MyStorage(Shape):
    """Bytes of results and uploads."""

    quota_bytes: int
    used_bytes: int


class MySubscription(Shape):
    """What the account is subscribed to."""

    cancel_at_end: bool
    ends_at: dt.datetime
    id: str
    interval: str
    plan: str
    status: str


class Me(Shape):
    """The caller: who they are, what they are on, what they have."""

    account_id: str
    balance: MyBalance
    customers: dict[str, str] = Field(description="Who the account is to each company that took its money.")
    email: str | None = None
    first_name: str | None = None
    issuer: str
    last_name: str | None = None
    plan: str
    preferences: Preferences
    role: Literal["user", "pro", "editor", "admin"] | str
    storage: MyStorage
    subject: str
    subscription: MySubscription | None = None
    user_id: str


class Member(Shape):
    """Somebody who was invited. `accepted_at` null: who has not accepted yet."""

    accepted_at: dt.datetime | None = None
    created_at: dt.datetime
    email: str
    id: str
    role: Literal["viewer", "editor"] | str


class MemberChange(Shape):
    """What a collaborator may do."""

    role: Literal["viewer", "editor"]


class MemberPage(Shape):
    """Collaborators, oldest first."""

    data: list[Member]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class MemberRequest(Shape):
    """Somebody to invite."""

    email: str
    role: Literal["viewer", "editor"] | None = None


class Price(Shape):
    """Credits, or a cost in micro-dollars plus the plan's markup, per so many units."""

    characters_per_unit: int
    cost_usd_micros: int | None = None
    credits: int | None = None
    estimate_field: str | None = None
    per: int
    quantity_field: str | None = None
    unit: str


class Model(Shape):
    """Something that can be ordered."""

    description: str
    id: str
    input_schema: dict[str, Any]
    kind: Literal["image", "video", "speech", "text"] | str
    name: str
    price: Price
    timeout_seconds: int
    typical_seconds: int
    version: int


class ModelPage(Shape):
    """Models that can be ordered, by id."""

    data: list[Model]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Module(Shape):
    """A module."""

    id: str
    title: str


class ModuleChange(Shape):
    """What is to be different; the rest stays."""

    position: int | None = None
    title: str | None = None


class MonthOfTokens(Shape):
    """Tokens of this calendar month, UTC, and when some were last counted."""

    lastUpdated: int
    monthTokensUsed: int
    monthlyAllowance: int


class NewAnnouncement(Shape):
    """What everybody should know, or everybody on a plan."""

    body: str
    plan: str | None = Field(default=None, description="Only accounts on this plan.")
    title: str


class NewApiKey(Shape):
    """A key to make."""

    expires_at: dt.datetime | None = None
    models: list[str] | None = Field(default=None, description="Only these models may be ordered.")
    monthly_credits: int | None = Field(default=None, description="What its jobs may cost in a calendar month (UTC).")
    name: str
    per_minute: int | None = Field(default=None, description="Requests per minute.")
    scopes: list[Literal["generate", "read", "write", "delete", "edit", "admin", "act"]] | None = None


class NewArticle(Shape):
    """A draft. Its slug is made of its title, once."""

    body: str = Field(description="Markdown; HTML in it is shown as text.")
    citations: list[Citation] | None = Field(default=None, description="Of research alone.")
    implication: str | None = Field(default=None, description="Markdown; of research alone.")
    kind: Literal["tool", "use_case", "regulation"] | None = Field(
        default=None, description="News has one, research has none."
    )
    paper: Paper | None = Field(default=None, description="Of research alone.")
    premium: bool | None = Field(default=None, description="Only who is pro, editor or admin reads on.")
    section: Literal["news", "research"]
    tags: list[str] | None = None
    teaser: str | None = Field(default=None, description="Null: the beginning of the body.")
    title: str


class NewCourse(Shape):
    """A course, which is a draft until it is published."""

    cover_url: str | None = None
    description: str | None = None
    level: Literal["basic", "intermediate", "advanced"]
    slug: str | None = Field(default=None, description="Absent: made of the title.")
    title: str


class NewGrant(Shape):
    """Credits to give, and why."""

    amount: int
    expires_at: dt.datetime | None = None
    kind: Literal["gift", "goodwill", "purchase"] | None = None
    kinds: list[Literal["image", "video", "speech", "text"]] | None = None
    models: list[str] | None = Field(
        default=None, description="What alone they pay for; with `kinds`, what either names. Empty: for all."
    )
    priority: int | None = Field(
        default=None, description="Credits of a higher one are used first, then those that expire first."
    )
    reason: str = Field(description="Why, for the audit log.")


class NewLesson(Shape):
    """A lesson of a module."""

    access: Literal["preview", "pro"] | None = None
    body: str | None = Field(default=None, description="Markdown.")
    module_id: str
    pass_percent: int | None = Field(default=None, description="How much of its quiz has to be right.")
    position: int | None = None
    status: Literal["draft", "published"] | None = None
    title: str
    video_url: str | None = None


class NewLink(Shape):
    """A share link that was just made."""

    created_at: dt.datetime
    expires_at: dt.datetime | None = None
    has_password: bool
    id: str
    revoked_at: dt.datetime | None = None
    url: str
    views: int


class NewModule(Shape):
    """A part of a course."""

    position: int | None = None
    title: str


class NewPause(Shape):
    """What is held back, for how long, and why."""

    name: str = Field(description="Of a queue, model or provider; an account's id.")
    reason: str = Field(description="Why, for the audit log.")
    seconds: int | None = Field(default=None, description="How long, at most; it can be ended before.")
    what: Literal["queue", "model", "provider", "account"]


class NewPromotion(Shape):
    """A code that gives credits, or a plan's months."""

    code: str
    credits: int | None = None
    expires_at: dt.datetime | None = None
    interval: Literal["monthly", "yearly"] | None = None
    max_uses: int | None = None
    plan: str | None = None


class NewProviderKey(Shape):
    """A key to keep."""

    key: str = Field(description="The key itself. Encrypted at rest, never shown again.")


class NewQuestion(Shape):
    """A question of a lesson's quiz."""

    explanation: str | None = None
    kind: Literal["single", "multiple"]
    options: list[str]
    position: int | None = None
    right_options: list[int] = Field(description="Places in `options`, from 0.")
    text: str


class NewUser(Shape):
    """A user as an identity provider knows them, or will."""

    email: str | None = None
    issuer: str | None = None
    plan: str | None = None
    subject: str


class NewWebhook(Shape):
    """An address to tell events to."""

    description: str | None = Field(default=None, description="For you.")
    events: (
        list[
            Literal[
                "job.queued",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "assets.deleted",
                "assets.expired",
                "credits.granted",
                "credits.low",
                "credits.expired",
                "credits.revoked",
                "hold.created",
                "hold.settled",
                "hold.released",
                "hold.expired",
                "subscription.started",
                "subscription.extended",
                "subscription.changed",
                "subscription.period",
                "subscription.planned",
                "subscription.canceled",
                "subscription.resumed",
                "subscription.overdue",
                "subscription.expired",
                "payment.succeeded",
                "payment.changed",
                "refill.paused",
                "batch.completed",
                "course.completed",
                "announcement",
                "webhook.disabled",
            ]
        ]
        | None
    ) = Field(default=None, description="Only these; empty: all.")
    url: str = Field(description="http or https, at a public address.")


class Notification(Shape):
    """A notification."""

    body: str
    created_at: dt.datetime
    data: dict[str, Any]
    event_number: int
    id: str
    kind: str = Field(description="The type of the event that it tells of.")
    read_at: dt.datetime | None = None
    title: str


class NotificationPage(Shape):
    """Notifications, newest first."""

    data: list[Notification]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class WebAccount(Shape):
    """An account of the web client's."""

    billingStatus: str
    planTier: str
    premiumExpiresAt: int | None = None
    usage: MonthOfTokens
    userId: str


class OneAccount(Shape):
    """The account as it is now."""

    account: WebAccount


class OneUsage(Shape):
    """The report that was kept, now or before."""

    usage: KeptUsage


class OrderRequest(Shape):
    """Items of a collection, in the order in which they are to stand."""

    after: str | None = Field(default=None, description="Right behind this one; null: at the beginning.")
    items: list[str]


class Refusal(Shape):
    """A line that was not ordered, and why."""

    code: str
    custom_id: str | None = None
    message: str
    number: int = Field(description="Of its line in the body, from 1.")
    param: str | None = None


class OrderedBatch(Shape):
    """A batch that was ordered now, and the first hundred of the lines that were not."""

    accepted: int
    counts: BatchCounts | None = None
    created_at: dt.datetime
    credits: JobCredits
    ended_at: dt.datetime | None = None
    estimate_seconds: int | None = Field(
        default=None, description="Until all have ended, if it goes on as it went so far."
    )
    id: str
    max_running: int | None = None
    orders: int
    progress: int | None = Field(default=None, description="Percent of its jobs that have ended.")
    refusals: list[Refusal]
    refused: int
    status: Literal["running", "canceling", "completed", "canceled"] | str = Field(
        description="`canceled`: it was asked to stop before all had ended."
    )


class Queue(Shape):
    """One queue."""

    canceled_last_minute: int
    delayed: int
    depth: int
    failed_last_minute: int
    in_flight: int
    oldest_seconds: float
    queue: str
    reconciling: int
    succeeded_last_minute: int
    waiting: int


class WaitingAccount(Shape):
    """An account with jobs that wait for a slot, and the oldest of them."""

    account_id: str
    jobs: int
    oldest_at: dt.datetime
    queue: str


class Overview(Shape):
    """All queues, and the accounts with the longest lines."""

    queues: list[Queue]
    waiting_accounts: list[WaitingAccount]


class Pack(Shape):
    """Credits that are sold once."""

    credits: int
    expires_days: int | None = Field(default=None, description="After they were paid; null: never.")
    id: str
    name: str
    prices: dict[str, str] = Field(description="By currency, in major units.")
    product: str


class PackPage(Shape):
    """Packs, in the order in which they are offered."""

    data: list[Pack]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class Pause(Shape):
    """A pause. It ends by itself."""

    actor: str
    created_at: dt.datetime
    name: str
    reason: str
    until: dt.datetime
    what: Literal["queue", "model", "provider", "account"] | str


class PauseEnd(Shape):
    """What is held back no longer, and why."""

    name: str = Field(description="Of a queue, model or provider; an account's id.")
    reason: str = Field(description="Why, for the audit log.")
    what: Literal["queue", "model", "provider", "account"]


class Pauses(Shape):
    """What is paused, the longest first: at most a hundred."""

    pauses: list[Pause]


class Payment(Shape):
    """A payment. Amounts are in the currency's own units, as text: "29.00"."""

    company: str
    company_payment_id: str | None = Field(default=None, description="What the payment is at its company.")
    created_at: dt.datetime
    credits: int = Field(description="What it gives when it is paid; a plan's periods give theirs.")
    credits_given: int = Field(description="What it has given, less what was taken back.")
    currency: str
    expires_at: dt.datetime
    id: str
    interval: Literal["monthly", "yearly"] | str | None = None
    pack: str | None = None
    paid: str | None = None
    paid_at: dt.datetime | None = None
    pay_url: str | None = Field(default=None, description="Where to pay, while it can be paid.")
    plan: str | None = None
    price: str
    problem: PaymentProblem | None = None
    reason: str | None = Field(default=None, description="Why it failed, in the company's words.")
    refunded: str
    status: PaymentStatus


class PaymentPage(Shape):
    """Payments, newest first."""

    data: list[Payment]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class PaymentRequest(Shape):
    """A pack or a plan, in one currency. `company`: who is to take the money; if left out, the first that can."""

    company: str | None = None
    currency: str = Field(description="ISO 4217, as in the prices of packs and plans.")
    interval: Literal["monthly", "yearly"] | None = Field(default=None, description="Of a plan; a month if left out.")
    keep_card: bool | None = Field(default=None, description="Keep the card for refills that the account asks for.")
    pack: str | None = None
    plan: str | None = None
    return_url: str | None = Field(
        default=None, description="Where the payer's browser comes back to. That it did proves nothing."
    )


class Payments(Shape):
    """Orders by what became of them. `success` is of those that are over."""

    expired: int
    failed: int
    orders: int
    paid: int
    problems: int
    success: float | None = None
    waiting: int


class Plan(Shape):
    """A plan."""

    collaborators: bool = Field(description="Whether others may be invited to collections.")
    credit_price_usd_micros: int
    credits: int
    daily_text_jobs: int | None = None
    grace_days: int = Field(description="How long the plan goes on if its renewal is not paid.")
    granted: Literal["once", "monthly"] | str
    id: str
    markup_bp: int
    name: str
    price_cents: int | None = Field(
        default=None, description="US cents a month, where it has such a price; `prices` has them all."
    )
    prices: dict[str, dict[str, str]] = Field(
        description='By interval and currency, in major units: `{"monthly": {"USD": "29.00"}}`.'
    )
    priority: int = Field(description="Added to that of each job.")
    product: str
    result_hours: int | None = Field(
        default=None, description="How long results are kept where the model does not say; 0: for ever."
    )
    slots: int
    storage_quota_bytes: int
    token_allowance: int | None = Field(default=None, description="Tokens a month; null: without limit.")
    trial_days: int


class PlanChange(Shape):
    """The plan to change to."""

    interval: Literal["monthly", "yearly"] | None = None
    plan: str = Field(description="A plan's id.")
    when: Literal["now", "period_end"] | None = Field(
        default=None, description="Not said: what is more comes at once, what is less at the end of what is paid."
    )


class PlanPage(Shape):
    """Plans, in the order in which they are offered."""

    data: list[Plan]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class PlanUsers(Shape):
    """Accounts on a plan now, and those of them that ordered something."""

    active: int
    plan: str
    users: int


class PreferencesChange(Shape):
    """What is to be different; the rest stays."""

    language: str | None = None
    mail: bool | None = Field(default=None, description="False: no notice goes by mail.")
    notifications: bool | None = None
    theme: Literal["light", "dark", "system"] | None = None
    time_zone: str | None = Field(default=None, description="In which your days of usage begin.")


class Problem(Shape):
    """RFC 9457 problem details. `retryable` says whether the same request may succeed soon."""

    code: str
    detail: str
    param: str | None = None
    request_id: str | None = None
    retryable: bool
    status: int
    title: str
    type: str


class Progress(Shape):
    """How far a learner has come in a course, its modules and its lessons."""

    course: CourseProgress
    lessons: list[LessonProgress]
    modules: list[ModuleProgress]


class ProgressReport(Shape):
    """What a client says of a lesson. It may say it twice, late, or from several tabs: it counts once."""

    completed: bool | None = Field(default=None, description="A lesson with a quiz is completed by passing it instead.")
    score: int | None = Field(default=None, description="Percent, where the lesson has no quiz. The best counts.")
    seconds: int | None = Field(
        default=None, description="How long this visit has lasted by now, in all; needs `visit`."
    )
    visit: str | None = Field(
        default=None,
        description="Your own name for this visit: one for each tab, and a new one when the page is opened again.",
    )


class Promotion(Shape):
    """A code and how often it was used."""

    code: str
    created_at: dt.datetime
    credits: int | None = None
    ended_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    interval: str | None = None
    max_uses: int | None = None
    plan: str | None = None
    uses: int


class PromotionPage(Shape):
    """Codes, in the order of the alphabet."""

    data: list[Promotion]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class ProviderKey(Shape):
    """What is shown of a key."""

    created_at: dt.datetime
    hint: str = Field(description="Its last four characters.")
    provider: str


class ProviderKeyPage(Shape):
    """Keys at providers, by the provider's name."""

    data: list[ProviderKey]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class ProviderStanding(Shape):
    """How much a provider is asked, and whether it rests."""

    calls_last_minute: int
    faults: int
    limited_seconds: float
    on_trial: bool
    per_minute: int | None = None
    provider: str
    resting_seconds: float
    slots: int | None = None
    slots_used: int


class ProviderStandings(Shape):
    """The providers of the catalogue."""

    providers: list[ProviderStanding]


class Publishing(Shape):
    """From when an article is shown: null, now."""

    at: dt.datetime | None = Field(
        default=None, description="A time that lies ahead: it is shown from then on, to the second."
    )


class Question(Shape):
    """A question as an editor gets it."""

    explanation: str
    id: str
    kind: Literal["single", "multiple"] | str
    options: list[str]
    right_options: list[int]
    text: str
    version: int = Field(
        description="Grows with each change of what it says. The ETag, which a change may name as If-Match."
    )


class QuestionChange(Shape):
    """What is to be different; the rest stays."""

    explanation: str | None = None
    kind: Literal["single", "multiple"] | None = None
    options: list[str] | None = None
    position: int | None = None
    right_options: list[int] | None = None
    text: str | None = None


class QuestionOrder(Shape):
    """All questions of a quiz, each once, in their new order."""

    questions: list[str]


class Quiz(Shape):
    """A lesson's quiz, without its answers."""

    lesson_id: str
    pass_percent: int
    questions: list[AskedQuestion]


class QuizAnswers(Shape):
    """What was chosen: the places of options, from 0, by the question's id. A question that is left out is wrong."""

    answers: dict[str, list[int]]


class QuizAttempt(Shape):
    """An attempt at a quiz."""

    created_at: dt.datetime
    id: str
    lesson_id: str
    passed: bool
    score: int = Field(description="Percent, rounded down.")


class QuizAttemptPage(Shape):
    """Attempts at a quiz, newest first."""

    data: list[QuizAttempt]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class QuizKey(Shape):
    """A lesson's quiz with its answers."""

    lesson_id: str
    pass_percent: int
    questions: list[Question]


class Quote(Shape):
    """The credits that would be reserved, and whether the account has them."""

    available: int
    credits: int
    enough: bool
    model: str
    quantity: float
    unit: str


class QuoteRequest(Shape):
    """What a job would cost, without ordering it."""

    input: dict[str, Any]
    model: str


class Reading(Shape):
    """An article to be read."""

    citations: list[Citation]
    html: str | None = Field(default=None, description="Sanitised.")
    id: str
    implication: str | None = Field(default=None, description="Sanitised HTML.")
    kind: Literal["tool", "use_case", "regulation"] | str | None = None
    liked: bool = Field(description="By you.")
    likes: int
    may_read: bool = Field(description="False: it is premium and you are not; `html` and `implication` are null.")
    paper: Paper | None = None
    premium: bool
    published_at: dt.datetime
    section: Literal["news", "research"] | str
    slug: str
    tags: list[str]
    teaser: str
    title: str
    updated_at: dt.datetime
    url: str = Field(description="Where people read it.")
    views: int = Field(description="Counted together, some seconds late.")


class RecordTokens(Shape):
    """Tokens to count against the month."""

    provider: str
    tokensUsed: int
    userId: str


class UsageReport(Shape):
    """Tokens used at a provider. With an `id` of your own, a report that is sent again counts once."""

    costMinorUnits: int
    id: str | None = None
    provider: str
    recordedAt: int = Field(description="Unix milliseconds.")
    tokensUsed: int
    userId: str


class RecordUsage(Shape):
    """A report of usage."""

    entry: UsageReport


class Redemption(Shape):
    """What a code gave: credits, or a plan's months."""

    code: str
    credits: int | None = None
    interval: str | None = None
    plan: str | None = None


class Refill(Shape):
    """What is bought by itself. `paused` says why nothing is: put it again to go on."""

    currency: str
    monthly_limit: str
    ordered_at: dt.datetime | None = None
    pack: str
    paused: str | None = None
    threshold: int


class RefillRequest(Shape):
    """Which pack is bought when fewer credits than `threshold` are available, and for how much a month at most."""

    currency: str
    monthly_limit: float | str
    pack: str
    threshold: int


class RefundRequest(Shape):
    """Money to give back: so much, or all that is left."""

    amount: float | str | None = None
    reason: str = Field(description="Why, for the audit log.")


class Replay(Shape):
    """Which of an account's deliveries are sent again."""

    endpoint_id: str | None = Field(default=None, description="Null: to addresses that jobs brought.")
    reason: str = Field(description="Why, for the audit log.")
    since: dt.datetime = Field(description="Without an offset: UTC.")
    until: dt.datetime | None = None
    which: Literal["failed", "all"] | None = Field(default=None, description="`failed`: what did not arrive.")


class Replayed(Shape):
    """How many deliveries are sent again."""

    count: int


class RestRequest(Shape):
    """For how long a provider is not asked."""

    reason: str = Field(description="Why, for the audit log.")
    seconds: int | None = None


class Rested(Shape):
    """The provider, and for how long it is not asked from now on."""

    provider: str
    resting_seconds: int


class Revenue(Shape):
    """Money of one UTC day, currency and company; `refunded` and `disputed` are of that day's payments."""

    company: str
    currency: str
    day: dt.date
    disputed: str
    paid: str
    payments: int
    refunded: str


class Revision(Shape):
    """What an article was before a change; `number` is the version that it was."""

    number: int
    saved_at: dt.datetime
    saved_by: str
    title: str


class RevisionPage(Shape):
    """Earlier versions of an article, the latest first."""

    data: list[Revision]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class RevokeCredential(Shape):
    """Which credential."""

    credentialId: str


class RoleChange(Shape):
    """The role that a user gets."""

    role: Literal["user", "pro", "editor", "admin"]


class RotateCredential(Shape):
    """The token that takes the place of the one before."""

    credentialId: str
    expiresAt: int | None = Field(default=None, description="Its new end; left out: the one that it has.")
    salt: str
    tokenHash: str


class RotatedCredential(Shape):
    """The credential as it is now."""

    credential: WebCredential


class Rotation(Shape):
    """How to rotate."""

    overlap_hours: int | None = Field(default=None, description="How long the old key still works.")


class SaveCredential(Shape):
    """A credential to keep."""

    record: WebCredential


class Sent(Shape):
    """The delivery to look for in the log."""

    delivery_id: str


class Session(Shape):
    """A saved generation."""

    created_at: dt.datetime
    credits: int | None = Field(default=None, description="What it cost; null until its job has ended.")
    error: JobError | None = None
    explanation: str | None = None
    id: str
    job: str | None = Field(default=None, description="Whose events tell the text as it is written; of your own alone.")
    mine: bool
    model: str
    prompt: str | None = None
    public: bool
    response: str | None = Field(default=None, description="Null until its job has succeeded. Plain text, not HTML.")
    status: Literal["queued", "running", "succeeded", "failed", "canceled"] | str = Field(description="Of its job.")
    title: str
    tokens: TokensUsed
    truncated: bool = Field(description="There was more than a mebibyte of it.")
    updated_at: dt.datetime


class SessionChange(Shape):
    """What is to be different; the rest stays."""

    explanation: str | None = Field(default=None, description="Null takes it away.")
    public: bool | None = Field(default=None, description="Publish it, or take it back.")
    title: str | None = None


class SessionPage(Shape):
    """Your own sessions, newest first."""

    data: list[ListedSession]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class SessionRequest(Shape):
    """A text of your own that was made (`job`), or one to make (`model` and `prompt`)."""

    explanation: str | None = None
    job: str | None = Field(
        default=None, description="A text job that has succeeded; saved again it is the same session."
    )
    model: str | None = Field(default=None, description="One of GET /v1/models.")
    prompt: str | None = Field(default=None, description="As long as the model takes.")
    public: bool | None = Field(default=None, description="Whether anybody who is signed in may read it.")
    title: str | None = Field(default=None, description="The beginning of the prompt, if left out.")


class UserFigures(Shape):
    """Who there is, who came, and who ordered something."""

    active: int
    new: int
    total: int


class Stats(Shape):
    """Figures of a span, whose end is not in it."""

    content: list[ContentFigures]
    credits: CreditFigures
    jobs: JobFigures
    margin: Margin
    payments: Payments
    plans: list[PlanUsers]
    revenue: list[Revenue]
    since: dt.datetime
    until: dt.datetime
    users: UserFigures


class Storage(Shape):
    """What is stored, and how much may be. `expected_bytes`: what living jobs are taken to bring."""

    expected_bytes: int
    kinds: list[KindUse]
    largest: list[LargeFile]
    quota_bytes: int
    used_bytes: int


class StoryAct(Shape):
    """What an operator did to the job."""

    action: str
    actor: str
    at: dt.datetime
    details: dict[str, Any]
    id: int


class StoryAttempt(Shape):
    """One try: at whom, how far it came, what they said, and what it cost."""

    calls_back: int
    charged: bool | None = None
    cost_usd_micros: int | None = None
    ended_at: dt.datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    number: int
    own_key: bool
    phase: str
    provider: str
    provider_job_id: str | None = None
    route: int
    started_at: dt.datetime
    usage: dict[str, Any] | None = None


class StoryDelivery(Shape):
    """One event on its way to one receiver, with each try."""

    attempts: int
    delivered_at: dt.datetime | None = None
    endpoint_id: str | None = None
    event_number: int | None = None
    event_type: str
    id: str
    log: list[dict[str, Any]]
    next_at: dt.datetime | None = None
    status: str
    url: str | None = None


class StoryEntry(Shape):
    """One movement of credits."""

    amount: int
    available_after: int
    created_at: dt.datetime
    from_bucket: str
    id: int
    kind: str
    reserved_after: int
    to_bucket: str


class StoryEvent(Shape):
    """One event of the job."""

    created_at: dt.datetime
    data: dict[str, Any]
    number: int
    type: str


class StoryGrant(Shape):
    """A grant that the job's credits came from, or one that was given for it afterwards."""

    given: int | None = None
    held: int | None = None
    id: str
    kind: str
    settled: int | None = None


class StoryFile(Shape):
    """A file: an upload that the input names, or a result."""

    created_at: dt.datetime
    expires_at: dt.datetime
    id: str
    media_type: str
    purged_at: dt.datetime | None = None
    size_bytes: int
    status: str


class StoryJob(Shape):
    """What was ordered, and what became of it."""

    account_id: str
    api_key_id: str | None = None
    attempts: int
    charged_credits: int | None = None
    created_at: dt.datetime
    email: str | None = None
    ended: str | None = None
    ended_at: dt.datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    id: str
    input: dict[str, Any]
    labels: dict[str, str] | None = None
    model: str
    model_version: int
    overrun_credits: int | None = None
    plan: str
    price_credits: int
    queue: str
    retry_of: str | None = None
    started_at: dt.datetime | None = None
    user_id: str | None = None


class StoryRun(Shape):
    """Where a living job stands."""

    attempts_spent: int
    cancel_requested_at: dt.datetime | None = None
    deadline_at: dt.datetime | None = None
    dispatched: bool
    late_tries: int
    lease_owner: str | None = None
    progress: int | None = None
    reason: str | None = None
    rescues: int
    rings: int
    status: str
    token: int
    wake_at: dt.datetime | None = None


class Story(Shape):
    """A job's whole story. Of what may be many, the first 200 are here."""

    acts: list[StoryAct]
    attempts: list[StoryAttempt]
    deliveries: list[StoryDelivery]
    entries: list[StoryEntry]
    events: list[StoryEvent]
    grants: list[StoryGrant]
    inputs: list[StoryFile]
    job: StoryJob
    results: list[StoryFile]
    retries: list[str]
    run: StoryRun | None = None


class StreamToken(Shape):
    """What a browser opens a stream with."""

    expires_at: dt.datetime
    token: str


class Subscription(Shape):
    """What an account is subscribed to, or was last."""

    changes_at: dt.datetime | None = None
    ends_at: dt.datetime
    interval: Literal["monthly", "yearly"] | str
    next_interval: Literal["monthly", "yearly"] | str | None = None
    next_plan: str | None = Field(default=None, description="The plan that follows at `changes_at`, if it is paid.")
    over_at: dt.datetime = Field(description="When it is over if nothing is paid: its end, and any days of grace.")
    plan: str
    renewer: str = Field(description="Who renews it: a company by itself, or whoever pays.")
    started_at: dt.datetime
    status: Literal["trial", "active", "past_due", "canceled", "expired"] | str = Field(
        description="past_due: not renewed, and in its days of grace; canceled: it runs to its end."
    )
    trial_ends_at: dt.datetime | None = None


class Summary(Shape):
    """A summary. Its texts are plain text, not HTML."""

    created_at: dt.datetime
    credits: int = Field(description="What its parts have cost so far.")
    error: SummaryError | None = None
    id: str
    implications: str | None = Field(default=None, description="Of a paper.")
    jobs: list[str]
    kind: Literal["article", "paper"] | str
    model: str
    ordered_by: str
    paragraph: str | None = None
    status: Literal["queued", "running", "succeeded", "failed"] | str = Field(
        description="succeeded: all parts have; failed: one has not, and no text is shown."
    )
    title: str | None = None
    tokens: TokensUsed


class SummaryPage(Shape):
    """Summaries, newest first."""

    data: list[ListedSummary]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class SummaryRequest(Shape):
    """A text to summarise."""

    kind: Literal["article", "paper"] = Field(
        description="An article becomes a paragraph; a paper a paragraph and its implications."
    )
    model: str | None = Field(default=None, description="SUMMARY_MODEL, if left out.")
    text: str
    title: str | None = None


class TakeBack(Shape):
    """Credits to take back, of what is available, and why."""

    amount: int
    reason: str = Field(description="Why, for the audit log.")


class Token(Shape):
    """A token as it is listed."""

    account: str
    created_at: dt.datetime
    credits: int | None = None
    expires_at: dt.datetime
    id: str
    job: str | None = None
    made_by: str | None = Field(default=None, description="The key that made it. Null: a person who had signed in.")
    may: list[Literal["read", "stream", "generate"] | str]
    model: str | None = None
    revoked_at: dt.datetime | None = None
    spent: int = Field(description="Reserved by its orders. What comes back of one goes to the account.")


class TokenPage(Shape):
    """Tokens, newest first; those that have ended for a day more."""

    data: list[Token]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class TrialStart(Shape):
    """The plan to try."""

    plan: str = Field(description="A plan's id.")


class UnreadCount(Shape):
    """How many are unread."""

    count: int = Field(description="1,000 means that many or more.")


class UpdateAccount(Shape):
    """A change of an account."""

    payload: AccountChange


class UsageGroup(Shape):
    """One group; what was not grouped by is not there."""

    account_id: str | None = None
    begins: dt.datetime | None = None
    bytes_added: int = Field(description="To the storage: results and uploads.")
    bytes_removed: int
    canceled: int
    cost_usd_micros: int | None = Field(default=None, description="What providers took; operators alone see it.")
    credits: int
    failed: int
    label: str | None = Field(default=None, description="The value of the label that was grouped by.")
    model: str | None = None
    requests: int = Field(description="Of the API; they belong to no model and have no labels.")
    results: int
    storage_bytes: int | None = Field(
        default=None, description="What was kept at its end, where groups are of time alone."
    )
    succeeded: int
    tokens_in: int
    tokens_out: int


class UsageList(Shape):
    """The newest first. `next`: send it as `cursor`; it is there only if there are more."""

    next: str | None = None
    usage: list[KeptUsage]


class UsageSums(Shape):
    """What was used. A generation counts where it ended, credits where they were spent, by jobs and of holds."""

    bytes_added: int = Field(description="To the storage: results and uploads.")
    bytes_removed: int
    canceled: int
    cost_usd_micros: int | None = Field(default=None, description="What providers took; operators alone see it.")
    credits: int
    failed: int
    requests: int = Field(description="Of the API; they belong to no model and have no labels.")
    results: int
    succeeded: int
    tokens_in: int
    tokens_out: int


class UsageTable(Shape):
    """Sums from `since` to before `until`, and all of it together."""

    by: list[str]
    rows: list[UsageGroup] = Field(
        description="In the order of time, model and label; at most 10000. Groups in which nothing was used are left out."
    )
    since: dt.datetime
    time_zone: str
    total: UsageSums
    until: dt.datetime


class User(Shape):
    """A user."""

    account_id: str
    created_at: dt.datetime
    email: str | None = None
    id: str
    issuer: str
    plan: str
    role: Literal["user", "pro", "editor", "admin"] | str
    subject: str
    suspended_at: dt.datetime | None = None


class UserPage(Shape):
    """Users, newest first."""

    data: list[User]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class WantedAlerts(Shape):
    """Limits to be told of; null: those of this deployment."""

    limits: list[int] | None = None


class WantedLimit(Shape):
    """A limit of a label."""

    monthly_credits: int = Field(description="What its jobs and holds may cost in a calendar month (UTC).")
    name: str = Field(description="A label's name, such as customer.")
    value: str = Field(description="One value; `*`: each that has none of its own.")


class WantedToken(Shape):
    """A token to make. Without a job and a model it is for the whole account."""

    credits: int | None = Field(default=None, description="What its orders may cost together.")
    job: str | None = Field(default=None, description="Only this job is read and followed.")
    may: list[Literal["read", "stream", "generate"]] = Field(description="`generate` orders, and needs `credits`.")
    model: str | None = Field(default=None, description="Only this model is ordered, only its jobs are seen.")
    seconds: int | None = None


class Webhook(Shape):
    """An address that events are sent to."""

    created_at: dt.datetime
    description: str
    disabled_reason: str | None = None
    enabled: bool
    events: list[str]
    failing_since: dt.datetime | None = None
    id: str
    previous_secret_until: dt.datetime | None = None
    url: str


class WebhookChange(Shape):
    """What to change. `enabled: true` switches a webhook on again that was switched off."""

    description: str | None = None
    enabled: bool | None = None
    events: (
        list[
            Literal[
                "job.queued",
                "job.output",
                "job.succeeded",
                "job.failed",
                "job.canceled",
                "assets.deleted",
                "assets.expired",
                "credits.granted",
                "credits.low",
                "credits.expired",
                "credits.revoked",
                "hold.created",
                "hold.settled",
                "hold.released",
                "hold.expired",
                "subscription.started",
                "subscription.extended",
                "subscription.changed",
                "subscription.period",
                "subscription.planned",
                "subscription.canceled",
                "subscription.resumed",
                "subscription.overdue",
                "subscription.expired",
                "payment.succeeded",
                "payment.changed",
                "refill.paused",
                "batch.completed",
                "course.completed",
                "announcement",
                "webhook.disabled",
            ]
        ]
        | None
    ) = None
    url: str | None = None


class WebhookPage(Shape):
    """The account's webhooks, oldest first."""

    data: list[Webhook]
    next: str | None = Field(
        default=None, description="Send it as `cursor` for the page that follows. Null: this is the last."
    )


class WebhookWithSecret(Shape):
    """With its secret, which is shown this once."""

    created_at: dt.datetime
    description: str
    disabled_reason: str | None = None
    enabled: bool
    events: list[str]
    failing_since: dt.datetime | None = None
    id: str
    previous_secret_until: dt.datetime | None = None
    secret: str
    url: str


class WholeRevision(Shape):
    """All that it said then."""

    body: str
    citations: list[Citation]
    implication: str | None = None
    kind: Literal["tool", "use_case", "regulation"] | str | None = None
    number: int
    paper: Paper | None = None
    premium: bool
    saved_at: dt.datetime
    saved_by: str
    section: Literal["news", "research"] | str
    tags: list[str]
    teaser: str | None = None
    title: str


class Worker(Shape):
    """A worker process, by its own word `silent_seconds` ago."""

    busy: int
    drained_at: dt.datetime | None = None
    host: str
    id: str
    jobs: list[str]
    pid: int | None = None
    queues: str
    silent_seconds: float
    started_at: dt.datetime
    threads: int
    threads_alive: int
    version: str | None = None


class Workers(Shape):
    """The worker processes, newest first: at most a thousand."""

    workers: list[Worker]


class YesOrNo(Shape):
    """Whether it was done."""

    result: bool


__all__ = [
    "AccountChange",
    "AccountPayment",
    "AccountPaymentPage",
    "Act",
    "ActPage",
    "Acted",
    "Again",
    "Announcement",
    "AnnouncementPage",
    "AnsweredQuiz",
    "Article",
    "ArticleChange",
    "ArticleHead",
    "ArticlePage",
    "AskedQuestion",
    "BalanceAfter",
    "Batch",
    "BatchCounts",
    "BatchPage",
    "BatchResult",
    "Because",
    "BulkAnswer",
    "BulkOrder",
    "BulkRun",
    "BulkRunPage",
    "Changed",
    "Citation",
    "CodeToRedeem",
    "Collection",
    "CollectionChange",
    "CollectionPage",
    "CollectionRequest",
    "ContentFigures",
    "Count",
    "Course",
    "CourseChange",
    "CourseOrder",
    "CourseOutline",
    "CoursePage",
    "CourseProgress",
    "CredentialList",
    "CreditAlerts",
    "CreditFigures",
    "Credits",
    "DefaultSecret",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryPage",
    "DeskPage",
    "Drained",
    "Enrolment",
    "EnrolmentPage",
    "Entry",
    "EntryPage",
    "EraseRequest",
    "Erasure",
    "Event",
    "EventPage",
    "ExportedThing",
    "File",
    "FilePage",
    "FindCredential",
    "Found",
    "FoundCredential",
    "FoundJob",
    "FoundJobPage",
    "FoundPage",
    "GetAccount",
    "GradedAttempt",
    "GradedQuestion",
    "Grant",
    "GrantPage",
    "HandPlanChange",
    "HandSubscription",
    "Hold",
    "HoldExtension",
    "HoldPage",
    "HoldRelease",
    "HoldRequest",
    "HoldSettlement",
    "Invitation",
    "InvitationPage",
    "Item",
    "ItemChange",
    "ItemPage",
    "ItemsRequest",
    "Job",
    "JobCredits",
    "JobError",
    "JobFigures",
    "JobFilter",
    "JobPage",
    "JobRefund",
    "JobRequest",
    "KeptUsage",
    "Key",
    "KeyPage",
    "KindUse",
    "LabelLimit",
    "LabelLimitPage",
    "LargeFile",
    "Lesson",
    "LessonChange",
    "LessonProgress",
    "LessonReported",
    "Like",
    "Link",
    "LinkPage",
    "LinkRequest",
    "ListCredentials",
    "ListUsage",
    "ListedSession",
    "ListedSummary",
    "MadeKey",
    "MadeToken",
    "Margin",
    "MarkPaid",
    "Marked",
    "Me",
    "Member",
    "MemberChange",
    "MemberPage",
    "MemberRequest",
    "Model",
    "ModelPage",
    "Module",
    "ModuleChange",
    "ModuleOrder",
    "ModuleProgress",
    "MonthOfTokens",
    "MyBalance",
    "MyStorage",
    "MySubscription",
    "NewAnnouncement",
    "NewApiKey",
    "NewArticle",
    "NewCourse",
    "NewGrant",
    "NewLesson",
    "NewLink",
    "NewModule",
    "NewPause",
    "NewPromotion",
    "NewProviderKey",
    "NewQuestion",
    "NewUser",
    "NewWebhook",
    "Notification",
    "NotificationPage",
    "OneAccount",
    "OneUsage",
    "OrderRequest",
    "OrderedBatch",
    "OutlineLesson",
    "OutlineModule",
    "Output",
    "Overview",
    "Pack",
    "PackPage",
    "Paper",
    "Pause",
    "PauseEnd",
    "Pauses",
    "Payment",
    "PaymentPage",
    "PaymentProblem",
    "PaymentRequest",
    "PaymentStatus",
    "Payments",
    "Plan",
    "PlanChange",
    "PlanPage",
    "PlanUsers",
    "Preferences",
    "PreferencesChange",
    "Price",
    "Problem",
    "Progress",
    "ProgressReport",
    "Promotion",
    "PromotionPage",
    "ProviderKey",
    "ProviderKeyPage",
    "ProviderStanding",
    "ProviderStandings",
    "Publishing",
    "Question",
    "QuestionChange",
    "QuestionOrder",
    "Queue",
    "Quiz",
    "QuizAnswers",
    "QuizAttempt",
    "QuizAttemptPage",
    "QuizKey",
    "Quote",
    "QuoteRequest",
    "Reading",
    "RecordTokens",
    "RecordUsage",
    "Redemption",
    "Refill",
    "RefillRequest",
    "RefundRequest",
    "Refusal",
    "Replay",
    "Replayed",
    "RestRequest",
    "Rested",
    "Revenue",
    "Revision",
    "RevisionPage",
    "RevokeCredential",
    "RoleChange",
    "RotateCredential",
    "RotatedCredential",
    "Rotation",
    "SaveCredential",
    "Sent",
    "Session",
    "SessionChange",
    "SessionPage",
    "SessionRequest",
    "Stats",
    "Storage",
    "Story",
    "StoryAct",
    "StoryAttempt",
    "StoryDelivery",
    "StoryEntry",
    "StoryEvent",
    "StoryFile",
    "StoryGrant",
    "StoryJob",
    "StoryRun",
    "StreamToken",
    "Subscription",
    "Summary",
    "SummaryError",
    "SummaryPage",
    "SummaryRequest",
    "TakeBack",
    "Teaser",
    "Token",
    "TokenPage",
    "TokensUsed",
    "TrialStart",
    "UnreadCount",
    "UpdateAccount",
    "UsageGroup",
    "UsageList",
    "UsageReport",
    "UsageSums",
    "UsageTable",
    "User",
    "UserFigures",
    "UserPage",
    "Waiting",
    "WaitingAccount",
    "WantedAlerts",
    "WantedLimit",
    "WantedToken",
    "WebAccount",
    "WebCredential",
    "Webhook",
    "WebhookChange",
    "WebhookPage",
    "WebhookWithSecret",
    "WholeRevision",
    "Worker",
    "Workers",
    "YesOrNo",
]
