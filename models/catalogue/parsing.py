"""How a catalogue file's sections become entries, and what is said of what is wrong in them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

from jsonschema_rs import ValidationError
from pydantic import BaseModel
from pydantic import ValidationError as SchemaError

from common.nearest import or_nearest

_Shape = TypeVar("_Shape", bound=BaseModel)
MAX_NAME_SHOWN = 60  # characters of what a file calls something

_MISSING = {"price": "is missing: a model without a price cannot be ordered, so it is not loaded"}
_PRICES = ("cost_usd_micros_per_call", "cost_usd_micros_per_second")

# What an adapter reads of the options of a provider, and of a route. A test holds them against the adapters' source.
PROVIDER_OPTIONS: dict[str, tuple[str, ...]] = {
    "openai": ("headers", "hosts", "idempotent"),
    "replicate": ("hosts", "webhook_secret"),
    "fal": ("hosts", "jwks_url"),
    "cog": ("hosts",),
    "http": ("hosts", "secret"),
    "sketch": ("hosts",),
}
ROUTE_OPTIONS: dict[str, tuple[str, ...]] = {
    "openai": (
        "cost_usd_micros_per_1k_tokens_in", "cost_usd_micros_per_1k_tokens_out", "cost_usd_micros_per_call",
        "cost_usd_micros_per_image", "extra", "max_tokens_field", "response_format", "voice",
    ),
    "replicate": (*_PRICES, "charged_on_failure", "deployment", "extra", "poll_seconds", "wait_seconds"),
    "fal": (*_PRICES, "cost_usd_micros_per_output", "extra", "poll_seconds"),
    "cog": ("callback", "concurrency", "cost_usd_micros_per_second", "extra"),
    "http": ("extra", "poll", "wait_seconds"),
    "sketch": (
        "charge_on_failure", "claimed_media_type", "cost_usd_micros", "delay_seconds", "fail", "fail_at", "fail_rate",
        "fail_times", "forget", "instant", "late_seconds", "pending", "poll_after_seconds", "ready_seconds", "recovery",
        "retry_after_seconds", "size_bytes", "truncated", "twice",
    ),
}  # fmt: skip


def parsed(raw: Mapping[str, Any], section: str, key: str, kind: type[_Shape], wrong: list[str]) -> list[_Shape]:
    """The entries of a section; what is wrong with them is added to `wrong`, without the values: one may be a secret."""
    found = []
    for name, body in raw.get(section, {}).items():
        try:
            found.append(kind.model_validate({**body, key: name} if isinstance(body, dict) else body))
        except SchemaError as error:
            for each in error.errors(include_url=False, include_context=False, include_input=False):
                place = ".".join([section, name, *map(str, each["loc"])])
                wrong.append(f"{place}: {_why(kind, each['type'], each['loc'], each['msg'], key)}")
        except (ValueError, ValidationError) as error:  # of the input_schema
            wrong.append(f"{section}.{name}: {str(error).splitlines()[0][:300]}")
    return found


def _why(kind: type[BaseModel], type_: str, place: Sequence[int | str], message: str, key: str) -> str:
    name = str(place[-1]) if place else ""  # of an entry as a whole
    if type_ == "missing":
        return _MISSING.get(name, "is missing")
    if type_ == "extra_forbidden":
        return f"unknown; {or_nearest(name, [each for each in _fields(kind, place[:-1]) if each != key])}"
    return message.removeprefix("Value error, ")


def _fields(kind: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    """The fields of what stands at a place in an entry; none where that is no entry of ours."""
    for name in place:
        if isinstance(name, int):  # in a list: its annotation was opened with the list's name
            continue
        if name not in kind.model_fields or (inner := _entry_in(kind.model_fields[name].annotation)) is None:
            return []
        kind = inner
    return list(kind.model_fields)


def _entry_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _entry_in(each)) is not None), None)


def unknown_options(place: str, options: Iterable[str], known: Sequence[str]) -> list[str]:
    """What is said of options that an adapter would pass over without a word."""
    return [
        f"{place}.options.{name[:MAX_NAME_SHOWN]}: unknown; {or_nearest(name, known)}"
        for name in options
        if name not in known
    ]
