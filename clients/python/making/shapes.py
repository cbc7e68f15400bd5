"""The models: a class of pydantic for each schema of the document. Pure."""

from typing import Any

from making.naming import operations, ref_name

HEAD = '''"""What is sent and answered, as types. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import Field

from headrace_client._base import Shape

'''


def answered(document: dict[str, Any]) -> set[str]:
    """The schemas that some answer has in it."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    waiting = [name for _, _, one in operations(document) for name in _refs(one["responses"])]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_refs(schemas[name]))
    return found


def _refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [ref_name(node)] if isinstance(node.get("$ref"), str) else []
        return own + [name for value in node.values() for name in _refs(value)]
    if isinstance(node, list):
        return [name for value in node for name in _refs(value)]
    return []


def type_of(schema: dict[str, Any] | None, *, sent: bool) -> str:
    """The type of a value. What is answered may one day be a word that is not known yet; what is `sent` may not.

    Ids are texts: they are put into addresses and compared, and nobody calculates with them.
    """
    if not schema:
        return "Any"
    if "$ref" in schema:
        return ref_name(schema)
    if "anyOf" in schema:
        kinds = [type_of(each, sent=sent) for each in schema["anyOf"]]
        kinds.sort(key=lambda kind: kind == "None")
        return " | ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        words = schema.get("enum", [schema.get("const")])
        known = f"Literal[{', '.join(repr(word) for word in words)}]"
        return known if sent or not isinstance(words[0], str) else f"{known} | str"
    kind = schema.get("type")
    if kind == "array":
        item = type_of(schema.get("items"), sent=sent)
        return f"Sequence[{item}]" if sent else f"list[{item}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        value = type_of(values if isinstance(values, dict) else None, sent=sent)
        return f"Mapping[str, {value}]" if sent else f"dict[str, {value}]"
    if kind == "string":
        return {"date-time": "dt.datetime", "date": "dt.date"}.get(schema.get("format", ""), "str")
    return {"integer": "int", "number": "float", "boolean": "bool", "null": "None"}.get(str(kind), "Any")


def models_text(document: dict[str, Any]) -> str:
    """The module of all models."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    loose = answered(document)
    parts = [HEAD]
    plain = {name for name, schema in schemas.items() if "properties" not in schema}
    parts += [f"{name} = {type_of(schemas[name], sent=name not in loose)}" for name in sorted(plain)]
    parts.append("")
    named = _in_order({name: schemas[name] for name in sorted(set(schemas) - plain)})
    parts += [_class_text(name, schemas[name], loose=name in loose) for name in named]
    parts.append("__all__ = [" + ", ".join(repr(name) for name in sorted(schemas)) + "]\n")
    return "\n".join(parts)


def _in_order(schemas: dict[str, Any]) -> list[str]:
    """What others are made of comes before them."""
    found: dict[str, None] = {}

    def add(name: str, above: frozenset[str]) -> None:
        if name in schemas and name not in above:
            for part in _refs(schemas[name]):
                add(part, above | {name})
            found.setdefault(name)

    for name in schemas:
        add(name, frozenset())
    return list(found)


def _class_text(name: str, schema: dict[str, Any], *, loose: bool) -> str:
    lines = [f"class {name}(Shape):", f'    """{docstring(schema.get("description") or name)}"""', ""]
    required = schema.get("required", [])
    for field, value in schema.get("properties", {}).items():
        kind = type_of(value, sent=False) if loose else _strict(value)
        lines.append(f"    {field}: {_field(kind, value, required=field in required)}")
    return "\n".join(lines) + "\n\n"


def _strict(schema: dict[str, Any]) -> str:
    """Of what is only ever sent: its words are known, and it is kept as lists and dicts."""
    return type_of(schema, sent=True).replace("Sequence[", "list[").replace("Mapping[", "dict[")


def _field(kind: str, schema: dict[str, Any], *, required: bool) -> str:
    """What may be null, or be left out, may also not be there: an older server does not know of it yet."""
    empty = kind.endswith("None") or not required
    if empty and not kind.endswith("None") and kind != "Any":
        kind += " | None"
    said = schema.get("description")
    if said:
        given = f"default=None, description={said!r}" if empty else f"description={said!r}"
        return f"{kind} = Field({given})"
    return f"{kind} = None" if empty else kind


def docstring(text: str, *, indent: str = "    ") -> str:
    """A text as the inside of a docstring."""
    lines = [line.rstrip() for line in text.replace("\\", "\\\\").replace('"""', "'''").strip().splitlines()]
    said = f"\n{indent}".join(lines).replace(f"\n{indent}\n", "\n\n")
    return f"{said} " if said.endswith(chr(34)) else said
