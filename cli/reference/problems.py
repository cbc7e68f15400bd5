"""Every error of the API: its code, its status, what it means, and what who gets it does."""

import inspect
from collections.abc import Mapping

from cli.reference.markdown import code, page_of, plain, table
from common import errors
from common.errors import DomainError

INTRODUCTION = """\
Every refusal is `application/problem+json` (RFC 9457) with `code`, `detail`, `param` (the field, or null), `retryable` and
`request_id`. Decide by `code`; `detail` is for people and may change. What is retryable has `Retry-After`: the same request may do
after so many seconds, with the same `Idempotency-Key`. Nothing else gets better by being sent again as it is.

How a job that was accepted has failed is its `error`, with codes of its own and of its provider's; such a job is refunded."""
OTHERS = """\
## Before a route is known

What is refused before anybody knows what was asked for is called by its status: `method_not_allowed` (405),
`url_too_long` (414), `too_many_connections` (429). `internal_error` (500) is a fault of ours: it is in the API's log under the
`request_id`; tell the operator."""
CORRECT = "Correct the request; `param` names the field."
LATER = "Wait for `Retry-After`, then send the same again."
BUY = "Buy credits, or wait for the next month's."
LOOK = "Look at it again; it has changed meanwhile."
# By class, since two may have one code. A class without a line here is found by `make check`.
REMEDIES: Mapping[str, str] = {
    "AccountBlocked": "Pay what is owed: buy credits, which settle the debt first.",
    "ActRefused": "Look at the job: `why` says how it stands.",
    "BadCursor": "Begin the list anew, without `cursor`.",
    "BadSignature": "Sign with the secret that is set up here, and with a clock that is right.",
    "BatchRefused": "Correct the lines that `refusals` names, or send it with `accept=valid`.",
    "BodyTooLarge": "Send less: large files are uploaded by `POST /v1/files`.",
    "BudgetExceeded": "Raise the key's budget, or wait for the next month.",
    "Busy": LATER,
    "CompanyAway": LATER,
    "CredentialEnded": "Make or rotate another one.",
    "DailyLimitReached": "Wait for tomorrow, or change the plan.",
    "DatabaseAway": LATER,
    "EndpointDisabled": "Switch the webhook on again first.",
    "EndpointLimit": "Delete a webhook that nobody needs.",
    "FeatureOff": "Do without: the operator has switched that part off.",
    "Forbidden": "Use a key or role that has the scope which the call needs.",
    "HoldEnded": "Make a new hold.",
    "IdTaken": "Choose another id.",
    "IdempotencyMismatch": "Use a new key for a new request.",
    "InvalidInput": "Correct the input; the model's schema is at `GET /v1/models`.",
    "InvalidParameter": CORRECT,
    "InvalidRequest": CORRECT,
    "JobNotEnded": "Wait for the job's end.",
    "LabelLimitExceeded": "Raise the label's limit, or wait for the next month.",
    "InputErased": "Order it as a new job: what this one was asked with is not kept any more.",
    "LinkGone": "Ask whoever shared it for a new link.",
    "NeedsPro": "Subscribe to a plan that has it.",
    "NotAuthenticated": "Send a key or token that is valid: `Authorization: Bearer …`.",
    "NotCancelable": "Nothing: the job has ended; look at how.",
    "NotConfigured": "Do without, or have the operator set it up.",
    "NotEnoughCredits": BUY,
    "NotFound": "Check the id, and whose it is: what is somebody else's is not found either.",
    "Overloaded": LATER,
    "PaymentRefused": "Choose another company, or correct what it refuses; `detail` says what.",
    "PaymentRequired": "Pay for it first.",
    "PromotionRefused": "Order without the code.",
    "RateLimited": LATER,
    "RefusedAddress": "Give a public address, on port 80, 443 or from 1024.",
    "ResultGone": "Order the job again; results are kept for a time.",
    "StorageQuotaExceeded": "Delete results or uploads, or change the plan.",
    "Suspended": "Speak with the operator.",
    "TokenSpent": "Make another token, with more credits.",
    "TooManyCalls": LATER,
    "TooManyListeners": "Close a stream, or share one; then open another.",
    "TooManyOrders": "Pay or cancel an order that waits.",
    "TooManyUploads": "Wait until an upload of yours has ended.",
    "Unavailable": LATER,
    "UnknownModel": "Choose one of `GET /v1/models`.",
    "UnusableFile": "Send a file of a kind that the model takes; `detail` says what is wrong.",
    "VersionChanged": LOOK,
}  # fmt: skip


def page() -> str:
    """The page: all errors by their code."""
    rows = [
        (code(each.code), str(each.status), "yes" if each.retryable else "no", plain(each.title()) + ".", remedy(each))
        for each in sorted(known(), key=lambda each: (each.code, each.status, each.__name__))
    ]
    return page_of(
        "Errors", INTRODUCTION, table(("code", "status", "retryable", "meaning", "what to do"), rows), OTHERS
    )


def known() -> list[type[DomainError]]:
    """The errors of our own that the API may answer with."""
    members = inspect.getmembers(errors, inspect.isclass)
    return [each for _, each in members if issubclass(each, DomainError) and each is not DomainError]


def remedy(error: type[DomainError]) -> str:
    """What who gets it does. Raises LookupError where nobody has said so."""
    if error.__name__ not in REMEDIES:
        raise LookupError(f"say in {__name__} what to do about {error.__name__}")
    return REMEDIES[error.__name__]
