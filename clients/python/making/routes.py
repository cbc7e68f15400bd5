"""The routes: a class for each part of the client, a method for each route. Pure. What is written waits; the blocking half is
derived from it (`sync`).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from making.naming import (
    AS_TEXT,
    BY_HAND,
    OWN_HEADERS,
    OWN_PARAMETERS,
    PARTS_BY_HAND,
    answer_of,
    argument,
    body_of,
    class_of,
    method_of,
    operations,
    part_of,
    ref_name,
)
from making.shapes import docstring, type_of

HEAD = '''"""{title} Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from headrace_client.models import ALL
from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit

'''


class Argument(NamedTuple):
    """An argument of a method. `place` is where it travels: path, query, header or body."""

    name: str
    wire: str
    kind: str
    place: str
    needed: bool
    says: str


class Answer(NamedTuple):
    """What a method returns, and how it is asked for. `waits`: whether it is a coroutine."""

    kind: str
    asks: str
    waits: bool = True


def route_texts(document: dict[str, Any]) -> dict[str, str]:
    """The modules of all parts: name → text."""
    schemas = document["components"]["schemas"]
    methods: dict[str, list[str]] = defaultdict(list)
    names: set[tuple[str, str]] = set()
    for verb, path, one in operations(document):
        part = part_of(path)
        methods[part]  # a part whose routes are all written by hand has a class too
        for text, name in _methods(verb, path, one, schemas):
            if (part, name) in names:
                raise ValueError(f"two routes would be client.{part}.{name}: name one of them in making/naming.py")
            names.add((part, name))
            methods[part].append(text)
    texts = {part: _module(part, found, schemas) for part, found in methods.items()}
    return {**texts, "__init__": _parts(list(methods))}


def _methods(verb: str, path: str, one: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, str]]:
    operation = one["operationId"]
    if operation in BY_HAND:
        return
    name = method_of(part_of(path), operation)
    yield _method(name, verb, path, one, schemas, _answer(one, schemas), {}), name
    if operation in AS_TEXT:
        other, sent = AS_TEXT[operation]
        yield _method(other, verb, path, one, schemas, Answer("str", "ask_text({call})"), sent), other


def _module(part: str, methods: list[str], schemas: Iterable[str]) -> str:
    name = f"Async{class_of(part)}Routes"
    title = f"`client.{part}`: its routes."
    begin = f'class {name}:\n    """{title}"""\n\n    def __init__(self, sender: AsyncSender) -> None:\n'
    head = HEAD.format(title=title)
    text = begin + "        self._sender = sender\n\n" + "\n".join(methods)
    return _needed(head, text, schemas) + text


def _needed(head: str, text: str, schemas: Iterable[str]) -> str:
    """Only what the text uses is imported."""
    used = [name for name in sorted(schemas) if re.search(rf"(?<=[\[ ,(]){name}\b(?=[\],):| ])", _code(text))]
    models = f"from headrace_client.models import {', '.join(used)}\n" if used else ""
    head = head.replace("from headrace_client.models import ALL\n", models)
    for word in ("AsyncIterator", "Mapping", "Sequence", "Any", "Literal", "Omit", "OMIT", "Call"):
        if not re.search(rf"\b{word}\b", _code(text)):
            head = re.sub(rf"(?<=import )([^\n]*?)\b{word}\b(, )?", r"\1", head)
    lines = [re.sub(r", $", "", line) for line in head.split("\n")]
    kept = [line for line in lines if not re.fullmatch(r"from \S+ import ?", line)]
    for word, line in (
        ("dt", "import datetime as dt"),
        ("AsyncPager", "from headrace_client._async.paging import AsyncPager"),
    ):
        if not re.search(rf"\b{word}\b", text):
            kept.remove(line)
    return "\n".join(kept)


def _code(text: str) -> str:
    """The text without its docstrings."""
    return re.sub(r'""".*?"""', "", text, flags=re.DOTALL)


def _parts(parts: list[str]) -> str:
    made = sorted(part for part in parts if part not in PARTS_BY_HAND)
    lines = ['"""All parts of the client. Made from docs/openapi.json by `python -m making`; do not edit."""', ""]
    lines.append("from headrace_client._async.sending import AsyncSender")
    lines += [f"from headrace_client._async.routes.{part} import Async{class_of(part)}Routes" for part in made]
    lines += ["", "", "class AsyncParts:", '    """The parts of the client that are routes and nothing more."""', ""]
    lines.append("    def __init__(self, sender: AsyncSender) -> None:")
    lines += [f"        self.{part} = Async{class_of(part)}Routes(sender)" for part in made]
    return "\n".join(lines) + "\n"


def arguments(one: dict[str, Any], schemas: dict[str, Any]) -> list[Argument]:
    """The arguments of a route's method, the parts of its address first, then what must be given."""
    found = []
    for each in one.get("parameters", []):
        name, place = each["name"], each["in"]
        if name.lower() in OWN_HEADERS or name in OWN_PARAMETERS.get(one["operationId"], ()) or name == "cursor":
            continue
        kind = type_of(each["schema"], sent=True)
        if place == "path":
            kind = "int" if kind == "int" else "str"
        elif place == "header":
            kind = "str"
        needed = bool(each.get("required"))
        found.append(Argument(argument(name), name, kind, place, needed, each.get("description", "")))
    body = body_of(one, schemas)
    for name, schema in (body or {}).get("properties", {}).items():
        kind = type_of(schema, sent=True)
        needed = name in (body or {}).get("required", [])
        found.append(Argument(argument(name), name, kind, "body", needed, schema.get("description", "")))
    return sorted(found, key=lambda each: (each.place != "path", not each.needed))


def _answer(one: dict[str, Any], schemas: dict[str, Any]) -> Answer:
    answers = answer_of(one)
    if not answers:
        return Answer("None", "ask_nothing({call})")
    if "application/json" in answers:
        schema = answers["application/json"]
        if schema is not None and "$ref" in schema:
            name = ref_name(schema)
            fields = schemas[name].get("properties", {})
            if {"data", "next"} <= set(fields) and any(each["name"] == "cursor" for each in one.get("parameters", [])):
                item = type_of(fields["data"]["items"], sent=False)
                page = f"AsyncPager[{item}, {name}]"
                return Answer(page, f"pager({{call}}, {name}, lambda page: page.data)", waits=False)
            return Answer(f"{name}", f"ask({{call}}, {name})")
        kind = type_of(schema, sent=False)
        return Answer(kind, "ask_json({call})")
    media = next(iter(answers))
    if media == "application/x-ndjson":
        return Answer("AsyncIterator[dict[str, Any]]", "ask_lines({call})", waits=False)
    return Answer("bytes", "ask_bytes({call})") if media.startswith("image/") else Answer("str", "ask_text({call})")


def _method(
    name: str,
    verb: str,
    path: str,
    one: dict[str, Any],
    schemas: dict[str, Any],
    answer: Answer,
    sent: dict[str, str],
) -> str:
    given = arguments(one, schemas)
    repeats = any(each["name"].lower() == "idempotency-key" for each in one.get("parameters", []))
    signature = ["self"]
    signature += [f"{each.name}: {each.kind}" for each in given if each.place == "path"]
    named = [each for each in given if each.place != "path"]
    if named or repeats:
        signature.append("*")
    signature += [
        f"{each.name}: {each.kind}" if each.needed else f"{each.name}: {_or_omitted(each.kind)} = OMIT"
        for each in named
    ]
    if repeats:
        signature.append("idempotency_key: str | None = None")
    call = [repr(verb), repr(path)]
    for place, word in (("path", "at"), ("query", "query"), ("header", "headers"), ("body", "body")):
        values = [f"{each.wire!r}: {each.name}" for each in given if each.place == place]
        if place == "query":
            values += [f"{key!r}: {value!r}" for key, value in sent.items()]
        if values or (place == "body" and body_of(one, schemas) is not None):
            call.append(f"{word}={{{', '.join(values)}}}")
    if repeats:
        call += ["once=True", "key=idempotency_key"]
    asks = "self._sender." + answer.asks.format(call=f"Call({', '.join(call)})")
    begin = "async def" if answer.waits else "def"
    returns = f"return {'await ' if answer.waits else ''}{asks}"
    if "ask_json" in asks and answer.kind != "Any":
        returns = f"found: {answer.kind} = await {asks}\n        return found"
    text = f"    {begin} {name}({', '.join(signature)}) -> {answer.kind}:\n"
    return text + f'        """{_says(verb, path, one, given, repeats=repeats)}"""\n        {returns}\n'


def _or_omitted(kind: str) -> str:
    plain = kind.removesuffix(" | None")
    return f"{plain} | Omit" if plain == kind else f"{plain} | Omit | None"


def _says(verb: str, path: str, one: dict[str, Any], given: list[Argument], *, repeats: bool) -> str:
    parts = [f"{one['summary']}. `{verb} {path}`."]
    if one.get("description"):
        parts.append(one["description"])
    told = [f"    {each.name}: {each.says}" for each in given if each.says]
    if repeats:
        told.append("    idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.")
    if told:
        parts.append("Args:\n" + "\n".join(told))
    end = "\n" if len(parts) > 1 else ""
    return docstring("\n\n".join(parts), indent=" " * 8) + (f"{end}        " if end else "")
