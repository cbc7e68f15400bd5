"""What the web client sends and is answered: its own words, camelCase, times as Unix milliseconds. An optional field that is
not there is left out, on both ways; it is never null.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from api.routes.shapes import RequestBody
from models.columns import MAX_MEASURED

MAX_METADATA_BYTES = 16_384  # a page of a list has a thousand
MAX_SCOPES = 100
MAX_MILLISECONDS = 253_402_300_799_999  # the end of the year 9999
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def _whole(value: Any) -> Any:
    """A number of JSON may be written 5.0; any other type is left to be refused."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _given(value: Any) -> Any:
    if value is None:
        raise ValueError("leave it out where there is none; null is not taken")
    return value


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        again = orjson.loads(orjson.dumps(value))
        orjson.dumps([[[[[[[[value]]]]]]]])  # an answer has it some levels deeper than a body
    except (TypeError, ValueError):
        raise ValueError("has a number beyond 64 bits, or is nested too deep") from None
    if again != value:
        raise ValueError("has a number that is none: NaN or infinite")
    return value


def moment_of(milliseconds: int) -> datetime:
    """A time of the web client's."""
    return EPOCH + milliseconds * MILLISECOND


def milliseconds_of(moment: datetime) -> int:
    """A time as the web client reads it."""
    return (moment - EPOCH) // MILLISECOND


_Plain = r"^[^\x00-\x1f\x7f]+$"
WebName = Annotated[str, Field(min_length=1, max_length=300, pattern=_Plain)]
Word = Annotated[str, Field(min_length=1, max_length=100, pattern=_Plain)]
Hash = Annotated[str, Field(min_length=1, max_length=1000, pattern=_Plain, repr=False)]
TokenCount = Annotated[int, BeforeValidator(_whole), Field(strict=True, ge=0, le=MAX_MEASURED)]
Milliseconds = Annotated[
    int, BeforeValidator(_whole), Field(strict=True, ge=0, le=MAX_MILLISECONDS, description="Unix milliseconds.")
]


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)  # which is null, and not taken


_Optional = Field(json_schema_extra=_without_default)
OptionalMilliseconds = Annotated[Milliseconds | SkipJsonSchema[None], BeforeValidator(_given), _Optional]
OptionalName = Annotated[WebName | SkipJsonSchema[None], BeforeValidator(_given), _Optional]
Metadata = Annotated[
    Annotated[dict[str, Any], AfterValidator(_storable)] | SkipJsonSchema[None], BeforeValidator(_given), _Optional
]
PageSize = Annotated[Annotated[int, Field(strict=True, ge=1, le=1000)], BeforeValidator(_whole)]


class WebBody(RequestBody):
    """What the web client sends."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class WebCredentialView(WebBody):
    """A credential at a provider."""

    id: WebName
    user_id: WebName
    provider: WebName
    token_hash: Hash
    salt: Hash
    scopes: Annotated[list[Word], Field(max_length=MAX_SCOPES)]
    plan_tier: Word
    issued_at: Milliseconds
    expires_at: Milliseconds
    status: Annotated[Word, Field(description="`active` is found while it has not expired; `revoked` is for good.")]
    provider_reference: OptionalName = None
    metadata: Annotated[
        Metadata, Field(description=f"Any JSON object; at most {MAX_METADATA_BYTES} bytes.", repr=False)
    ] = None
    last_rotated_at: OptionalMilliseconds = None


class UsageReport(WebBody):
    """Tokens used at a provider. With an `id` of your own, a report that is sent again counts once."""

    id: OptionalName = None
    user_id: WebName
    provider: WebName
    tokens_used: TokenCount
    cost_minor_units: TokenCount
    recorded_at: Milliseconds


class SaveCredential(WebBody):
    """A credential to keep."""

    record: WebCredentialView


class FindCredential(WebBody):
    """Whose credential, and where."""

    user_id: WebName
    provider: WebName


class RevokeCredential(WebBody):
    """Which credential."""

    credential_id: WebName


class RotateCredential(WebBody):
    """The token that takes the place of the one before."""

    credential_id: WebName
    token_hash: Hash
    salt: Hash
    expires_at: Annotated[OptionalMilliseconds, Field(description="Its new end; left out: the one that it has.")] = None


class ListCredentials(WebBody):
    """Nothing, or the page that follows."""

    cursor: OptionalName = None
    limit: PageSize = 1000


class RecordUsage(WebBody):
    """A report of usage."""

    entry: UsageReport


class ListUsage(WebBody):
    """Whose usage; and the page, after the first one."""

    user_id: WebName
    cursor: OptionalName = None
    limit: PageSize = 1000


class GetAccount(WebBody):
    """Whose account."""

    user_id: WebName


class AccountChange(WebBody):
    """What a user is on. `premiumExpiresAt`: left out, or null as it is answered: none."""

    user_id: WebName
    plan_tier: Word
    billing_status: Word
    premium_expires_at: Milliseconds | None = None


class UpdateAccount(WebBody):
    """A change of an account."""

    payload: AccountChange


class RecordTokens(WebBody):
    """Tokens to count against the month."""

    user_id: WebName
    provider: WebName
    tokens_used: TokenCount


class WebAnswer(BaseModel):
    """What the web client is answered."""

    model_config = ConfigDict(alias_generator=to_camel)


class YesOrNo(WebAnswer):
    """Whether it was done."""

    result: bool


class FoundCredential(WebAnswer):
    """The newest that holds, or none."""

    credential: WebCredentialView | None


class RotatedCredential(WebAnswer):
    """The credential as it is now."""

    credential: WebCredentialView


class CredentialList(WebAnswer):
    """The newest first. `next`: send it as `cursor`; it is there only if there are more."""

    credentials: list[WebCredentialView]
    next: str | SkipJsonSchema[None] = None


class KeptUsage(WebAnswer):
    """A report as it is kept; without an id of the caller's it has one of ours."""

    id: str
    user_id: str
    provider: str
    tokens_used: int
    cost_minor_units: int
    recorded_at: int


class OneUsage(WebAnswer):
    """The report that was kept, now or before."""

    usage: KeptUsage


class UsageList(WebAnswer):
    """The newest first. `next`: send it as `cursor`; it is there only if there are more."""

    usage: list[KeptUsage]
    next: str | SkipJsonSchema[None] = None


class MonthOfTokens(WebAnswer):
    """Tokens of this calendar month, UTC, and when some were last counted."""

    month_tokens_used: int
    monthly_allowance: int
    last_updated: int


class WebAccountView(WebAnswer):
    """An account of the web client's."""

    user_id: str
    plan_tier: str
    billing_status: str
    premium_expires_at: int | None
    usage: MonthOfTokens


class OneAccount(WebAnswer):
    """The account as it is now."""

    account: WebAccountView
