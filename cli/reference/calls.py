"""Every call of the API, from the document that `make openapi` writes."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cli import openapi
from cli.reference.markdown import cell, code, page_of, plain, table

INTRODUCTION = """\
All calls by what they are about, from [openapi.json](../openapi.json), which a running API also serves at `/openapi.json` and shows at
`/docs` and `/redoc`. Send `Authorization: Bearer KEY`; the scope in a row is the one that the key must have, and “none” needs no
key. Bodies and answers are JSON. Lists take `limit` and `cursor` and answer `{"data": […], "next": …}`. `Idempotency-Key` makes it safe
to repeat a call that has it. Refusals are in [errors.md](errors.md), events in [events.md](events.md)."""
METHODS = ("get", "post", "put", "patch", "delete")


class ApiCall(NamedTuple):
    """One operation of the document."""

    method: str
    path: str
    told: Mapping[str, Any]


def page() -> str:
    """The page, a section for each tag: a table to find a call, then each with what it takes."""
    document = json.loads(openapi.COMMITTED.read_text())
    by_tag: dict[str, list[ApiCall]] = {}
    for each in _calls(document):
        by_tag.setdefault(each.told.get("tags", ["other"])[0], []).append(each)
    sections = [_section(tag, by_tag[tag], document) for tag in sorted(by_tag)]
    return page_of("API", INTRODUCTION, *sections)


def _calls(document: Mapping[str, Any]) -> Iterator[ApiCall]:
    for path, verbs in document["paths"].items():
        for method in METHODS:
            if method in verbs:
                yield ApiCall(method.upper(), path, verbs[method])


def _section(tag: str, calls: list[ApiCall], document: Mapping[str, Any]) -> str:
    title = tag[:1].upper() + tag[1:]
    return "\n\n".join([f"## {title}", *(_told(each, document) for each in calls)])


def _told(call: ApiCall, document: Mapping[str, Any]) -> str:
    told = call.told
    text = " ".join(plain(told.get("description", "")).split())
    summary = plain(told["summary"])
    parts = [
        f"### {summary}",
        f"`{call.method} {call.path}` · scope: {scope(told)} · answers {_answers(told)}",
        text,
    ]
    rows = [*_parameters(told), *_body(told, document)]
    if rows:
        parts.append(table(("what", "where", "meaning"), rows))
    return "\n\n".join(part for part in parts if part)


def scope(told: Mapping[str, Any]) -> str:
    """Which scope a call needs of its key."""
    if not told.get("security"):
        return "none"
    words = [word for each in told["security"] for name, scopes in each.items() for word in (scopes or [name])]
    return ", ".join(code(word) for word in words)


def _answers(told: Mapping[str, Any]) -> str:
    return ", ".join(code(status) for status in told["responses"] if status < "400")


def _parameters(told: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for each in told.get("parameters", ()):
        if each["in"] != "path":
            yield (
                code(each["name"]) + _star(required=each.get("required", False)),
                each["in"],
                cell(plain(each.get("description", ""))),
            )


def _body(told: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for media, content in told.get("requestBody", {}).get("content", {}).items():
        shape = _followed(content.get("schema", {}), document)
        required = shape.get("required", ())
        for name, field in shape.get("properties", {}).items():
            yield (
                code(name) + _star(required=name in required),
                "body" if media == "application/json" else f"body, {media}",
                cell(plain(field.get("description", ""))) or _kind(field),
            )


def _star(*, required: bool) -> str:
    return " (required)" if required else ""


def _followed(shape: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shape itself, where only its name stands; of several the first."""
    while "$ref" in shape or "anyOf" in shape:
        if "$ref" in shape:
            shape = document["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
        else:
            shape = shape["anyOf"][0]
    return shape


def _kind(field: Mapping[str, Any]) -> str:
    """A field that nobody describes is told by its type."""
    if "anyOf" in field:
        return ", ".join(dict.fromkeys(_kind(each) for each in field["anyOf"] if each.get("type") != "null"))
    if "enum" in field:
        return ", ".join(code(str(each)) for each in field["enum"])
    return str(field.get("type") or field.get("$ref", "").rpartition("/")[2])
