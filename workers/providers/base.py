"""What a provider is. One file per provider implements it; one contract test holds them all to it."""

import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

ID_CHARACTERS = 500
ADDRESS_CHARACTERS = 8192
CODE_CHARACTERS, MESSAGE_CHARACTERS, NAME_CHARACTERS = 100, 1000, 100
WHOLE_LIMIT = 2**63 - 1  # PostgreSQL's bigint
USAGE_LIMIT = 32  # names
POLL_SECONDS_LEAST, MAX_POLL_SECONDS = 0.01, 3600.0
MAX_RETRY_AFTER_SECONDS = 86_400.0
NUMBER_LIMIT = 1e15  # of a route's options: more is no price and no time
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str, most: int = MESSAGE_CHARACTERS) -> str:
    """A provider's words as PostgreSQL can hold them: without NUL and lone surrogates, both of which JSON can carry.

    What is built here (outcomes and errors) is put through it when it is made, so that nothing else has to think of it.
    """
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text[:most])


def is_storable(text: str, most: int) -> bool:
    """Whether a name can be kept as it is: what is looked for again later cannot be kept in other words."""
    return 0 < len(text) <= most and not _UNSTORABLE.search(text)


def whole(value: object) -> int | None:
    """A number of something that a provider says, for a column of type bigint. None: it is no such number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= WHOLE_LIMIT
    return value if fits and isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider is and with which key it is asked: a `[providers.NAME]` of the catalogue."""

    name: str
    base_url: str  # no slash at the end
    api_key: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that the client gave, checked and stored by us. `chunks` opens it afresh at each call."""

    media_type: str
    size_bytes: int
    chunks: Callable[[], Iterator[bytes]]

    def data_uri(self) -> str:
        """The file as a `data:` URI, for providers that take no upload; input files are small (settings)."""
        return f"data:{self.media_type};base64,{b64encode(b''.join(self.chunks())).decode()}"


@dataclass(frozen=True, slots=True)
class Request:
    """One generation, as a provider sees it."""

    model: str  # the provider's own name of the model, from the route
    kind: Literal["image", "video", "speech", "text"]
    input: Mapping[str, Any]  # validated against the model's schema, defaults filled in
    options: Mapping[str, Any] = field(default_factory=dict)  # the route's options
    seconds_left: float = 600.0  # no call may take longer
    canceled: Callable[[], bool] = lambda: False  # true once nobody wants the result any more
    files: Mapping[str, InputFile] = field(default_factory=dict)  # by the input's field, which holds no address then
    callback_url: str | None = None
    api_key: str | None = field(default=None, repr=False)  # the user's own key at this provider, instead of ours
    # To be called in the last line before a call that begins a generation, and before each time it is repeated. It raises
    # where the job is not ours any more, or the process stops: let that through.
    confirm: Callable[[], None] = lambda: None
    # To be called with each piece of a text as it comes, in order: whoever follows the job reads along. It waits for nothing
    # and never raises; the result is what is answered in the end.
    said: Callable[[str], None] = lambda _part: None


@dataclass(frozen=True, slots=True)
class Callback:
    """What a provider sent to `callback_url`, as it came: header names in lower case, the raw body, and when it came, in
    seconds since 1970 by our clock. A signature is as old as the call was then, not as old as it is when it is read.
    """

    headers: Mapping[str, str]
    body: bytes
    received_at: float


@dataclass(frozen=True, slots=True)
class Output:
    """One result. `chunks` opens it afresh at each call; what type it really is, the bytes will tell.

    `address`: where it lies, if it did not come with the answer. It is written down, so that another worker can fetch it
    (`Provider.output`) should this one be killed. None: this process alone has the bytes.
    """

    chunks: Callable[[], Iterator[bytes]]
    claimed_media_type: str | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.claimed_media_type is not None:
            object.__setattr__(self, "claimed_media_type", storable(self.claimed_media_type, NAME_CHARACTERS))


@dataclass(frozen=True, slots=True)
class Done:
    """The generation has ended well. Numbers that cannot be kept are left out: they are no reason to lose a result."""

    outputs: Sequence[Output]
    cost_usd_micros: int | None = None  # None: the provider does not say
    usage: Mapping[str, int] = field(default_factory=dict)  # such as {"tokens_in": 12, "tokens_out": 300}
    provider_job_id: str | None = None  # if it can be polled by one also now that it is done

    def __post_init__(self) -> None:
        named = list(self.usage.items())[:USAGE_LIMIT]
        kept = {storable(name, NAME_CHARACTERS): number for name, each in named if (number := whole(each)) is not None}
        object.__setattr__(self, "usage", kept)
        object.__setattr__(self, "cost_usd_micros", whole(self.cost_usd_micros))


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider works on it and knows it under this id. An id that cannot be kept is none: OutcomeUnknown."""

    provider_job_id: str
    poll_after_seconds: float = 1.0
    progress: int | None = None  # percent
    calls_back: bool = False  # a call back is to come first: polls only find out that it never came
    exact: bool = False  # the provider, or its route, says itself when to poll: then, and no later for the job's age

    def __post_init__(self) -> None:
        if not is_storable(self.provider_job_id, ID_CHARACTERS):
            raise OutcomeUnknown("the provider's id of the generation cannot be kept")
        pause, percent = self.poll_after_seconds, whole(self.progress)
        if not math.isfinite(pause):
            pause = MAX_POLL_SECONDS
        object.__setattr__(self, "poll_after_seconds", min(max(pause, POLL_SECONDS_LEAST), MAX_POLL_SECONDS))
        object.__setattr__(self, "progress", None if percent is None else min(percent, 100))


Outcome = Done | Pending


class ProviderError(Exception):
    """A provider said no, or failed. `retryable` and `charged` are two questions, since both cost money.

    `limited` means that the provider has no room now: the job is put back without spending an attempt. `elsewhere`
    means that another provider may well do it: a fault, or our key or model name there, but not the client's input.
    `refused_call` means that the call was turned away: it says nothing of what an earlier call may have begun.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        charged: bool = False,
        cost_usd_micros: int | None = None,
        retry_after_seconds: float | None = None,
        limited: bool = False,
        elsewhere: bool | None = None,
        refused_call: bool = False,
    ) -> None:
        self.code = storable(code, CODE_CHARACTERS) or "provider_error"
        self.message = storable(message) or self.code
        super().__init__(self.message)
        self.retryable = retryable
        self.charged = charged
        self.cost_usd_micros = whole(cost_usd_micros)
        pause = retry_after_seconds
        fits = pause is not None and math.isfinite(pause)
        self.retry_after_seconds = min(max(pause, 0.0), MAX_RETRY_AFTER_SECONDS) if fits and pause is not None else None
        self.limited = limited
        self.elsewhere = retryable if elsewhere is None else elsewhere
        self.refused_call = refused_call


class Unjudged(Exception):
    """Whether a call back is the provider's cannot be said just now; it is kept."""


class OutcomeUnknown(Exception):
    """A call's answer was lost: it may or may not have had its effect. Never start another generation blindly."""

    def __init__(self, message: str = "the provider's answer was lost") -> None:
        self.message = storable(message)
        super().__init__(self.message)


class NotFetched(OutcomeUnknown):
    """A result is there, but could not be fetched from where it lies just now. `status`: what its address answered, if
    it did. Open its `chunks()` again, or ask for the generation again; it says nothing against the generation.
    `refused`: it lies where we do not fetch from, so that opening it again does not help.
    """

    def __init__(self, message: str, status: int | None = None, *, refused: bool = False) -> None:
        super().__init__(message)
        self.status, self.refused = status, refused
        self.retry_after_seconds: float | None = None  # where its address says so


Recovery = Literal["idempotent", "lookup", "none"]


class Provider(Protocol):
    """A company or server that generates. Every method may raise OutcomeUnknown: the question itself was lost."""

    name: str

    def recovery(self, request: Request) -> Recovery:
        """What can be done when the answer to `start` was lost: start again with the same key, which is the same
        generation; find it by our key (`lookup`); or nothing, and the job waits in `reconciling`.
        """
        ...

    def start(self, request: Request, idempotency_key: str) -> Outcome:
        """Begin a generation. Raises ProviderError, or OutcomeUnknown where the answer was lost."""
        ...

    def poll(self, request: Request, provider_job_id: str) -> Outcome:
        """How far it is. Raises ProviderError only if the generation itself failed; not being able to ask is
        OutcomeUnknown, and it is asked again.
        """
        ...

    def lookup(self, request: Request, idempotency_key: str) -> Outcome | None:
        """Find a generation by our key; None: the provider never began it."""
        ...

    def cancel(self, request: Request, provider_job_id: str) -> None:
        """Ask the provider to stop; may come too late."""
        ...

    def output(self, request: Request, address: str, claimed_media_type: str | None = None) -> Output:
        """A result at an address that an earlier answer named (`Output.address`), with the headers that this provider's
        own server needs, and the key of `request`. Asks nobody. Raises ValueError for what is no such address.
        """
        ...

    def callback(self, request: Request, provider_job_id: str | None, call: Callback) -> Outcome | None:
        """What the provider's own call says about this generation.

        The last word: Done, ProviderError (it failed), or OutcomeUnknown where such a word leaves something to be asked
        that cannot be asked now. Pending: it is believed, but is only on its way or names an id. None: not believed (a
        wrong signature, another generation's id, no sense); whatever was sent, nothing else is raised then.
        """
        ...


def check_numbers(options: Mapping[str, Any], names: Iterable[str], *, elsewhere: bool = True) -> None:
    """A number of a route that is none is found out before the call, not after it was paid for. Raises ProviderError."""
    for name in names:
        value = options.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < NUMBER_LIMIT:
            raise ProviderError(
                "not_configured", f"the route's {name} is no such number", retryable=False, elsewhere=elsewhere
            )
