"""A form made from the JSON Schema of a model's input, and the input that a filled form means. Pure.

What a form can show is a field of its own: texts, numbers with their bounds, choices, switches, files, and lists of simple values, one on a
line. Whatever else there is (nested objects, `oneOf`, references) is written as JSON.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from common.errors import InvalidInput
from models.catalogue.entries import FILE_FORMATS

FieldKind = Literal["text", "area", "number", "select", "choices", "check", "file", "list", "json"]

PREFIX = "in."  # of a field's name in the form
UPLOAD = "up."  # of the field that has a file's bytes
SHORT_TEXT = 120  # characters up to which a text has one line
FEW = 6  # choices up to which all are shown at once
MAX_DIGITS = 40  # of what is shown of a number that is none
WHOLE, DECIMAL = re.compile(r"[+-]?[0-9]{1,40}"), re.compile(r"[+-]?[0-9]{1,40}\.?[0-9]{0,40}([eE][+-]?[0-9]{1,2})?")
COMBINED = ("oneOf", "anyOf", "allOf", "not", "if", "$ref")
SIMPLE = ("string", "integer", "number")
UNCHOSEN = ""


class InputField(NamedTuple):
    """One field. `value` is as the form has it; of choices and switches it is JSON."""

    name: str  # of the property
    kind: FieldKind
    label: str
    hint: str = ""
    required: bool = False
    value: str = ""
    options: tuple[tuple[str, str], ...] = ()
    least: str = ""  # of a number, as HTML takes it
    most: str = ""
    step: str = ""
    length: int | None = None  # characters at most
    accepts: str = ""  # the kind of file
    whole: bool = False  # of a number or a list: whole numbers
    items: str = "string"  # of a list

    @property
    def wide(self) -> bool:
        """Whether it takes the whole width."""
        return self.kind in ("area", "file", "list", "json")


def fields_of(schema: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> list[InputField]:
    """The fields of a model's form, what is required first, and then long texts; filled with an input, or else with the defaults."""
    properties = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    made = []
    for name, rule in properties.items():
        field = _field(name, rule, required=name in required)
        if given is not None and name in given:
            field = field._replace(value=written_value(field, given[name]))
        elif given is None and isinstance(rule, dict) and "default" in rule:
            field = field._replace(value=written_value(field, rule["default"]))
        made.append(field)
    return sorted(made, key=lambda each: (not each.required, each.kind != "area"))  # the database keeps no order


def _field(name: str, rule: Any, *, required: bool) -> InputField:
    if not isinstance(rule, dict):
        return InputField(name, "json", _label(name, {}), "As JSON.", required)
    said, label = _without_null(rule), _label(name, rule)
    hint, kind = str(rule.get("description") or "")[:300], said.get("type")
    base = InputField(name, "json", label, f"{hint} As JSON.".strip(), required)
    if any(word in said for word in COMBINED) or isinstance(kind, list):
        return base
    if "const" in said or "enum" in said:
        return _choice(base, hint, [said["const"]] if "const" in said else list(said["enum"]), "default" in rule)
    if kind == "boolean":
        if required or "default" in rule:
            return base._replace(kind="check", hint=hint, value="false")
        return base._replace(
            kind="select", hint=hint, options=((UNCHOSEN, "As the model has it"), ("true", "Yes"), ("false", "No"))
        )
    if kind in ("integer", "number"):
        return _number(base, hint, said)
    if kind == "string":
        return _text(base, hint, said)
    if kind == "array" and isinstance(said.get("items"), dict):
        return _list(base, hint, said)
    return base


def _label(name: str, rule: Mapping[str, Any]) -> str:
    return str(rule.get("title") or name.replace("_", " ").strip().capitalize() or name)[:80]


def _without_null(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule that also allows null, as what it asks for otherwise: a field that is left empty says it."""
    kinds = rule.get("type")
    if isinstance(kinds, list):
        rest = [each for each in kinds if each != "null"]
        return {**rule, "type": rest[0]} if len(rest) == 1 else rule
    either = rule.get("anyOf")
    if isinstance(either, list) and not {"type", "enum", "oneOf"} & rule.keys():
        rest = [each for each in either if each != {"type": "null"}]
        if len(rest) == 1 and len(either) == 2 and isinstance(rest[0], dict):
            return {**{key: value for key, value in rule.items() if key != "anyOf"}, **rest[0]}
    return rule


def _choice(base: InputField, hint: str, values: list[Any], has_default: bool) -> InputField:
    options = tuple((json.dumps(each), each if isinstance(each, str) else json.dumps(each)) for each in values)
    if not (base.required or has_default):
        options = ((UNCHOSEN, "As the model has it"), *options)
    few = len(options) <= FEW and all(len(word) <= 24 for _, word in options)
    return base._replace(kind="choices" if few and base.required else "select", hint=hint, options=options)


def _number(base: InputField, hint: str, rule: Mapping[str, Any]) -> InputField:
    whole = rule.get("type") == "integer"
    low, high, step = rule.get("minimum"), rule.get("maximum"), rule.get("multipleOf")
    if whole and low is None and _is_number(rule.get("exclusiveMinimum")):
        low = math.floor(rule["exclusiveMinimum"]) + 1
    if whole and high is None and _is_number(rule.get("exclusiveMaximum")):
        high = math.ceil(rule["exclusiveMaximum"]) - 1
    bounds = _bounds(low, high)
    if low is not None and step:  # a browser counts steps from the least value
        low = math.ceil(low / step) * step
    words = [hint.rstrip("."), bounds, f"in steps of {_plain(step)}" if step and step != 1 else ""]
    return base._replace(
        kind="number", hint=", ".join(each for each in words if each), whole=whole, least=_plain(low), most=_plain(high),
        step=_plain(step) or ("1" if whole else "any"),
    )  # fmt: skip


def _bounds(low: Any, high: Any) -> str:
    if low is not None and high is not None:
        return f"{_plain(low)} to {_plain(high)}"
    return f"at least {_plain(low)}" if low is not None else f"at most {_plain(high)}" if high is not None else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> str:
    if not _is_number(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(value)


def _text(base: InputField, hint: str, rule: Mapping[str, Any]) -> InputField:
    wanted, most = rule.get("format"), rule.get("maxLength")
    if wanted in FILE_FORMATS:
        return base._replace(kind="file", hint=hint, accepts=str(wanted), length=2048)
    length = most if isinstance(most, int) else None
    short = length is not None and length <= SHORT_TEXT
    return base._replace(kind="text" if short else "area", hint=hint, length=length)


def _list(base: InputField, hint: str, rule: Mapping[str, Any]) -> InputField:
    items = _without_null(rule["items"])
    if items.get("type") not in SIMPLE or any(word in items for word in COMBINED):
        return base
    most, fewest = rule.get("maxItems"), rule.get("minItems")
    words = [hint, "One on a line" + (f", {_bounds(fewest, most)}." if fewest is not None or most is not None else ".")]
    return base._replace(
        kind="list", hint=" ".join(each for each in words if each), items=str(items["type"]), whole=items["type"] == "integer"
    )  # fmt: skip


def written_value(field: InputField, value: Any) -> str:
    """A value as its field has it."""
    if value is None:
        return ""
    match field.kind:
        case "select" | "choices" | "check":
            return json.dumps(value)
        case "list" if isinstance(value, list):
            return "\n".join(each if isinstance(each, str) else json.dumps(each) for each in value)
        case "json":
            return json.dumps(value, indent=2, ensure_ascii=False)
        case _:
            return value if isinstance(value, str) else json.dumps(value)


def filled(fields: list[InputField], said: Mapping[str, str]) -> list[InputField]:
    """The same fields with what somebody has typed."""
    return [
        each._replace(value="true" if said.get(PREFIX + each.name) else "false")
        if each.kind == "check"
        else each._replace(value=said.get(PREFIX + each.name, each.value))
        for each in fields
    ]


def input_of(fields: list[InputField], said: Mapping[str, str]) -> dict[str, Any]:
    """The input that a filled form means; what is left empty is left out. Raises InvalidInput that names the field: what
    the schema asks beyond that is the catalogue's to check.
    """
    found = dict[str, Any]()
    for each in fields:
        text = said.get(PREFIX + each.name, "").replace("\r\n", "\n")
        if each.kind == "check":
            found[each.name] = bool(text)
        elif text.strip():
            found[each.name] = _meant(each, text)
    return found


def _meant(field: InputField, text: str) -> Any:
    param = f"input.{field.name}"
    match field.kind:
        case "number":
            return _number_in(param, text.strip(), whole=field.whole)
        case "select" | "choices":
            if text not in {value for value, _ in field.options}:
                raise InvalidInput(
                    f"{param} is none of its choices: {', '.join(word for value, word in field.options if value)[:300]}",
                    param=param,
                )
            return json.loads(text)
        case "list":
            lines = [each.strip() for each in text.split("\n") if each.strip()]
            return lines if field.items == "string" else [_number_in(param, each, whole=field.whole) for each in lines]
        case "json":
            return _json_in(param, text)
        case "file":
            return text.strip()
        case _:
            return text


def _number_in(param: str, text: str, *, whole: bool) -> int | float:
    if WHOLE.fullmatch(text):
        return int(text)
    if whole or not DECIMAL.fullmatch(text):
        what = "a whole number" if whole else "a number"
        raise InvalidInput(f"{param} must be {what}, not {text[:MAX_DIGITS]!r}", param=param)
    return float(text)


def _json_in(param: str, text: str) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
        raise InvalidInput(f"{param} must be JSON: {why}", param=param) from None
