"""OpenAI's fields as a model's input: by the `fields` of its entry first, else by what such fields are usually called, over its
schema. Pure.

What a model does not have and what only tunes its work is passed over; what changes what one gets is refused by its name, since a
program would take something else for what it asked for. What nobody knows is passed over, as servers of this dialect do.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from common.errors import InvalidInput
from common.picture_shapes import SHAPE_FIELDS, fitted_size, image_size
from models.catalogue.entries import Entry

Rules = Mapping[str, Mapping[str, Any]]  # of a schema, by field

USUAL: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "text"),
    "n": ("n", "count", "num_outputs", "num_images"),
    "output_format": ("output_format", "format"),
    "response_format": ("response_format", "output_format", "format"),  # of speech
    "seconds": ("seconds", "duration", "duration_seconds"),
    "input": ("text", "prompt", "input"),  # of speech
    "voice": ("voice", "voice_id"),
    "speed": ("speed",),
    "instructions": ("instructions",),
    "image": ("image", "input_image", "image_url", "init_image", "first_frame_image", "start_image"),
    "mask": ("mask", "mask_image", "mask_url"),
    "negative_prompt": ("negative_prompt",),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"),
}
# Whoever orders these and got something else would not notice, or pay for what is of no use.
CHANGING = frozenset(
    {
        "n", "size", "output_format", "response_format", "seconds", "image", "mask", "markup", "svg", "frame_count",
        "frame_duration_ms", "characters", "input_reference",
    }
)  # fmt: skip
PLAIN_BACKGROUNDS = ("auto", "opaque")
# Of OpenAI's own people: a program for another house names one of them because it must name some voice.
THEIR_VOICES = frozenset(
    {
        "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
    }
)  # fmt: skip
WHOLE = 2**53  # up to which a number with a point can be whole
FASTEST = 4.0  # that OpenAI's `speed` may be: a number above it is no part of what is usual, but words per minute


_OURS = {field: name for name, fields in reversed(USUAL.items()) for field in fields} | dict.fromkeys(
    ("width", "height", *SHAPE_FIELDS), "size"
)


class Translated(NamedTuple):
    """An input, and by each of its fields what the order called it."""

    values: dict[str, Any]
    said: dict[str, str]


def translated(entry: Entry, given: Mapping[str, Any], *, calls: Mapping[str, str] | None = None) -> Translated:
    """The input that an order's fields are. `calls`: what some of these are here, where one word means two things.
    Raises InvalidInput that names the field in OpenAI's words.
    """
    rules: Rules = entry.input_schema.get("properties", {})
    made = Translated({}, {})
    names = {name: (calls or {}).get(name, name) for name, value in given.items() if value is not None}
    for name, meaning in names.items():
        _translate(made, entry, rules, name, meaning, given[name])
    return made


def named_as_said(made: Translated, param: str, detail: str) -> tuple[str, str]:
    """What is wrong with a field of the input, in the words of the order."""
    field = param.removeprefix("input.").partition(".")[0]
    name = made.said.get(field) or _OURS.get(field, field)
    return name, detail.replace(f"input.{field}", name)


def _translate(made: Translated, entry: Entry, rules: Rules, name: str, meaning: str, value: Any) -> None:
    mapped = entry.fields.get(meaning)
    if meaning == "size" and value != "auto" and mapped is None:
        _size(made, rules, name, value)
        return
    field = mapped or next((each for each in USUAL.get(meaning, (meaning,)) if each in rules), None)
    if meaning == "size" and value == "auto":
        return
    if field is None:
        _left_out(entry, name, meaning, value)
        return
    found = SPECIAL.get(meaning, _plain)(value, rules.get(field, {}), name)
    if found is not None and field not in made.values:
        made.values[field], made.said[field] = found, name


def _left_out(entry: Entry, name: str, meaning: str, value: Any) -> None:
    """A field that the model does not have. Raises InvalidInput for one that would change what one gets."""
    if meaning == "n":
        if _number(value) != 1:
            raise InvalidInput(f"{entry.id} makes one at a time; n can only be 1", param=name)
        return
    if meaning == "background" and value not in PLAIN_BACKGROUNDS:
        raise InvalidInput(f"{entry.id} cannot make a {value!s:.40} background", param=name)
    if meaning in CHANGING:
        raise InvalidInput(f"{entry.id} has nothing that {name} could say to it; leave it out", param=name)


def _size(made: Translated, rules: Rules, name: str, value: Any) -> None:
    pixels = image_size(value)
    if "width" in rules and "height" in rules:
        if pixels is None:
            raise InvalidInput(f"{name} must be a width and a height, such as 1024x1024, or auto", param=name)
        made.values.update(width=pixels[0], height=pixels[1])
        made.said.update(width=name, height=name)
        return
    field = next((each for each in SHAPE_FIELDS if each in rules), None)
    if field is None:
        raise InvalidInput("this model has one size only; leave size out, or say auto", param=name)
    fitted = fitted_size(value, pixels, rules[field])
    if fitted is None:
        raise InvalidInput(f"{value!s:.40} is none of this model's sizes{_offer(rules[field])}", param=name)
    made.values[field], made.said[field] = fitted, name


def _offer(rule: Mapping[str, Any]) -> str:
    return f": {', '.join(map(str, rule['enum'][:20]))}" if isinstance(rule.get("enum"), list) else ""


def kinds_of(rule: Mapping[str, Any]) -> set[str]:
    """The types that a schema lets a value have; empty: any."""
    found: set[str] = set()
    for each in (rule, *rule.get("anyOf", ()), *rule.get("oneOf", ())):
        kind = each.get("type")
        found |= set(kind) if isinstance(kind, list) else {kind} if isinstance(kind, str) else set()
    return found


def coerced(value: Any, rule: Mapping[str, Any]) -> Any:
    """A value that came as a text, as all of a form does, as the schema has it. What cannot be one stays: the schema refuses it."""
    kinds = kinds_of(rule)
    if isinstance(value, bool) or not kinds or (isinstance(value, str) and "string" in kinds):
        return value
    if isinstance(value, int | float):
        if abs(value) < WHOLE and value == int(value) and "integer" in kinds and "number" not in kinds:
            return int(value)
        return str(value) if kinds <= {"string", "null"} else value
    if not isinstance(value, str):
        return value
    if "boolean" in kinds and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kinds & {"integer", "number"} and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        return int(value)
    if "number" in kinds and re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", value, re.ASCII):
        return float(value)
    return value


def _plain(value: Any, rule: Mapping[str, Any], _name: str) -> Any:
    return coerced(value, rule)


def _number(value: Any) -> Any:
    return coerced(value, {"type": "integer"})


def _format(value: Any, rule: Mapping[str, Any], _name: str) -> Any:
    """Houses write one format in two ways."""
    offered = rule.get("enum", ())
    other = {"jpeg": "jpg", "jpg": "jpeg"}.get(value) if isinstance(value, str) else None
    return other if other in offered and value not in offered else value


def _voice(value: Any, rule: Mapping[str, Any], name: str) -> Any:
    """A voice, which may be named in an object. One of OpenAI's own that the model does not have is its usual one."""
    named = value.get("id") if isinstance(value, dict) else value
    if not isinstance(named, str) or not named:
        raise InvalidInput("voice must be a name, or an object with an id", param=name)
    known = named in rule.get("enum", ()) or ("enum" not in rule and "pattern" not in rule)
    return None if named.lower() in THEIR_VOICES and not known else named


def _speed(value: Any, rule: Mapping[str, Any], name: str) -> Any:
    """How fast, as a part of what is usual: of a model that counts words per minute, that part of its own."""
    found = coerced(value, {"type": "number"})
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0.25 <= found <= FASTEST:
        raise InvalidInput("speed must be a number from 0.25 to 4", param=name)
    usual = rule.get("default")
    if not isinstance(usual, int | float) or isinstance(usual, bool) or rule.get("minimum", 0) <= FASTEST:
        return coerced(found, rule)
    return round(usual * found) if "integer" in kinds_of(rule) else usual * found


SPECIAL: dict[str, Callable[[Any, Mapping[str, Any], str], Any]] = {
    "output_format": _format,
    "response_format": _format,
    "voice": _voice,
    "speed": _speed,
}
