"""What can go wrong, named. The API turns each into RFC 9457 problem details; a class's docstring is its title."""

from typing import Any, ClassVar


class DomainError(Exception):
    """The request cannot be carried out."""

    code: ClassVar[str] = "invalid_request"
    status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, param: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param
        self.extra = extra

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or "").strip().rstrip(".")


class InvalidRequest(DomainError):
    """The request is not valid."""


class InvalidParameter(DomainError):
    """A parameter of the request is not valid."""

    status = 422


class BadCursor(DomainError):
    """The cursor is not one of this list."""

    code = "invalid_cursor"
    status = 422


class InvalidInput(DomainError):
    """The input does not fit the model."""

    code = "invalid_input"
    status = 422


class UnknownModel(DomainError):
    """There is no such model."""

    code = "unknown_model"
    status = 404


class NotFound(DomainError):
    """There is nothing here."""

    code = "not_found"
    status = 404


class FeatureOff(DomainError):
    """This deployment does not have that part."""

    code = "feature_off"
    status = 404


class VersionChanged(DomainError):
    """Somebody has changed this meanwhile: look at it again."""

    code = "version_changed"
    status = 412


class NotAuthenticated(DomainError):
    """A valid API key or token is needed."""

    code = "not_authenticated"
    status = 401


class BadSignature(DomainError):
    """The signature does not fit."""

    code = "bad_signature"
    status = 401


class NotConfigured(DomainError):
    """This server is not set up for that."""

    code = "not_configured"
    status = 404  # not 503, which says that the same request will do soon


class Forbidden(DomainError):
    """This caller may not do that."""

    code = "forbidden"
    status = 403


class NeedsPro(DomainError):
    """This is for subscribers."""

    code = "needs_pro"
    status = 403


class Suspended(DomainError):
    """This account is suspended."""

    code = "suspended"
    status = 403


class BudgetExceeded(DomainError):
    """The key's budget for this month is spent."""

    code = "key_budget_exceeded"
    status = 402


class TokenSpent(DomainError):
    """What this token may order for is spent."""

    code = "token_spent"
    status = 402


class LabelLimitExceeded(DomainError):
    """The limit of a label for this month is spent."""

    code = "label_limit_exceeded"
    status = 402


class DailyLimitReached(DomainError):
    """The plan's limit for today is reached."""

    code = "daily_limit_reached"
    status = 403


class RateLimited(DomainError):
    """Too many requests; try again soon."""

    code = "rate_limited"
    status = 429
    retryable = True


class TooManyCalls(DomainError):
    """Too many of this attempt's calls lie unread; call again soon."""

    code = "too_many_calls"
    status = 503
    retryable = True


class NotEnoughCredits(DomainError):
    """The account has not enough credits."""

    code = "not_enough_credits"
    status = 402


class TooManyOrders(DomainError):
    """Too many orders of this account wait to be paid."""

    code = "too_many_orders"
    status = 429
    retryable = True


class PromotionRefused(DomainError):
    """This promotion code gives nothing here."""

    code = "promotion_refused"


class PaymentRefused(DomainError):
    """The company does not take this order."""

    code = "payment_refused"


class CompanyAway(DomainError):
    """The company that takes the money does not answer; try again soon."""

    code = "company_away"
    status = 503
    retryable = True


class PaymentRequired(DomainError):
    """What was asked for has to be paid for first."""

    code = "payment_required"
    status = 402


class StorageQuotaExceeded(DomainError):
    """The account's storage is full."""

    code = "storage_quota_exceeded"
    status = 403


class AccountBlocked(DomainError):
    """The account owes credits and may not order jobs."""

    code = "account_in_debt"
    status = 402


class IdempotencyMismatch(DomainError):
    """This idempotency key was used with another request."""

    code = "idempotency_mismatch"
    status = 422


class IdTaken(DomainError):
    """This id was given to something else."""

    code = "id_taken"
    status = 422


class CredentialEnded(DomainError):
    """This credential is revoked, or has expired."""

    code = "credential_ended"


class BodyTooLarge(DomainError):
    """The request body is too large."""

    code = "body_too_large"
    status = 413


class RefusedAddress(DomainError):
    """This address is not fetched."""

    code = "refused_address"
    status = 422


class UnusableFile(DomainError):
    """The file cannot be used."""

    code = "unusable_file"
    status = 422


class ResultGone(DomainError):
    """The file is no longer kept."""

    code = "result_gone"
    status = 410


class InputErased(DomainError):
    """What this job was asked with is not kept any more."""

    code = "input_erased"
    status = 410


class LinkGone(DomainError):
    """What was shared here is not shared any more."""

    code = "link_gone"
    status = 410


class NotCancelable(DomainError):
    """The job has already ended."""

    code = "job_already_ended"
    status = 400


class BatchRefused(DomainError):
    """The batch has lines that cannot be ordered, and nothing was."""

    code = "batch_refused"
    status = 422


class HoldEnded(DomainError):
    """The hold is over: nothing is held any more."""

    code = "hold_ended"


class ActRefused(DomainError):
    """This cannot be done to a job that stands so."""

    code = "act_refused"


class JobNotEnded(DomainError):
    """The job has not ended yet."""

    code = "job_not_ended"
    status = 400


class TooManyListeners(DomainError):
    """The account has too many streams open."""

    code = "too_many_listeners"
    status = 429
    retryable = True


class TooManyUploads(DomainError):
    """The account has too many uploads under way."""

    code = "too_many_uploads"
    status = 429
    retryable = True


class EndpointLimit(DomainError):
    """The account has as many webhook endpoints as it may have."""

    code = "too_many_webhooks"


class EndpointDisabled(DomainError):
    """This webhook endpoint is switched off."""

    code = "webhook_disabled"


class Busy(DomainError):
    """The account is busy; try again soon."""

    code = "busy"
    status = 503
    retryable = True


class Unavailable(DomainError):
    """A server this needs is away; try again soon."""

    code = "unavailable"
    status = 503
    retryable = True


class DatabaseAway(Unavailable):
    """The database is away; try again soon."""


class Overloaded(DomainError):
    """Too many requests wait already; try again soon."""

    code = "overloaded"
    status = 503
    retryable = True
