"""The Python client and docs/openapi.json: neither has what the other lacks. Nothing here is asked of the client's maker, so that a
fault of his is seen too.
"""

import inspect
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from headrace_client import VERSION, AsyncHeadrace, Headrace, models
from making.__main__ import PACKAGE, made, stale
from pydantic import BaseModel

from tests.clients.calling import ID, called, methods

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
VERBS = ("get", "post", "put", "patch", "delete")
# Companies and browsers call these, never a program with a key.
NOT_FOR_CLIENTS = ("/hooks/", "/console", "/account", "/compat")
# What the client sends where it is needed, and nobody has to give.
BY_ITSELF = {"cursor", "token", "idempotency-key", "last-event-id", "range", "format", "thumbnail", "after"}
Operation = tuple[str, str]


def operations() -> dict[Operation, dict[str, Any]]:
    """Every route that the client must have."""
    return {
        (verb.upper(), path): one
        for path, item in DOCUMENT["paths"].items()
        if not path.startswith(NOT_FOR_CLIENTS)
        for verb, one in item.items()
        if verb in VERBS
    }


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema, wherever it is written."""
    if "$ref" in schema:
        found: dict[str, Any] = SCHEMAS[schema["$ref"].rpartition("/")[2]]
        return found
    return next((resolved(each) for each in schema.get("anyOf", []) if each.get("type") != "null"), schema)


def answer_to(schema: dict[str, Any] | None) -> Any:
    """An answer that has every field which the document knows."""
    if not schema:
        return {}
    found = resolved(schema)
    if "enum" in found or "const" in found:
        return found.get("const", found.get("enum", [""])[0])
    match found.get("type"):
        case "object":
            fields = {name: answer_to(each) for name, each in found.get("properties", {}).items()}
            return {**fields, "next": None} if {"data", "next"} <= fields.keys() else fields
        case "array":
            return [answer_to(found.get("items"))]
        case "string":
            formats = {"date-time": "2026-11-21T00:00:00Z", "date": "2026-11-21", "uuid": ID}
            return formats.get(found.get("format", ""), "text")
        case kind:
            return {"integer": 1, "number": 1.5, "boolean": True}.get(str(kind))


class Server(httpx.BaseTransport):
    """Answers every route of the document as it says, and writes down what was sent."""

    def __init__(self) -> None:
        self.asked: dict[Operation, list[httpx.Request]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        operation = self._operation(request)
        self.asked.setdefault(operation, []).append(request)
        one = operations().get(operation)
        content = next((each.get("content", {}) for key, each in (one or {})["responses"].items() if key[0] == "2"), {})
        if "application/json" in content and "text/csv" not in request.headers.get("accept", ""):
            return httpx.Response(200, json=answer_to(content["application/json"].get("schema")))
        if "text/event-stream" in content:
            return httpx.Response(204)
        return httpx.Response(200, content=b"")

    @staticmethod
    def _operation(request: httpx.Request) -> Operation:
        given = request.url.path.split("/")
        fits = [
            path
            for verb, path in operations()
            if verb == request.method
            and len(path.split("/")) == len(given)
            and all(mine == said or "{" in said for mine, said in zip(given, path.split("/"), strict=True))
        ]
        assert fits, f"the document has no {request.method} {request.url.path}"
        return request.method, min(fits, key=lambda path: path.count("{"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, dict[str, Any]]:
    """What all methods of the client have sent, and what they have returned."""
    server, answers = Server(), {}
    place = tmp_path_factory.mktemp("down") / "file"
    chosen = {
        "files.upload": {"file": b"bytes"}, "files.download": {"what": "/files/x", "to": place},
        "events.stream": {"timeout": 0.01},
    }  # fmt: skip
    with httpx.Client(transport=server) as http:
        client = Headrace("a-key", "http://headrace.test", http_client=http, patience_seconds=0)
        for name, method in methods(client):
            answers[name] = called(method, **chosen.get(name, {})) if name != "events.stream" else None
    return server, answers


def test_every_route_has_a_method(asked: tuple[Server, dict[str, Any]]) -> None:
    missing = set(operations()) - set(asked[0].asked)
    assert missing == set(), "run `python -m making` in clients/python"


def test_every_parameter_and_every_field_of_a_request_can_be_given(asked: tuple[Server, dict[str, Any]]) -> None:
    lacking = []
    for operation, requests in asked[0].asked.items():
        one = operations()[operation]
        query = {name for request in requests for name in parse_qs(request.url.query.decode(), keep_blank_values=True)}
        headers = {name.lower() for request in requests for name in request.headers}
        for each in one.get("parameters", []):
            name = each["name"]
            there = {"query": name in query, "header": name.lower() in headers}.get(each["in"], True)
            if not there and name.lower() not in BY_ITSELF:
                lacking.append((*operation, name))
        body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if body is not None and operation != ("POST", "/v1/files"):
            lacking += [(*operation, name) for name in unsent(body, json.loads(requests[0].content))]
    assert lacking == []


def unsent(schema: dict[str, Any], sent: Any) -> Iterator[str]:
    """The fields that a request may have, and that this one lacks, at whatever depth."""
    found = resolved(schema)
    if found.get("type") == "array":
        yield from unsent(found["items"], sent[0])
    for name, each in found.get("properties", {}).items():
        if name not in sent:
            yield name
        elif resolved(each).get("properties") or resolved(each).get("type") == "array":
            yield from (f"{name}.{deeper}" for deeper in unsent(each, sent[name]))


def test_every_field_of_an_answer_is_a_field_of_its_model(asked: tuple[Server, dict[str, Any]]) -> None:
    unknown = {name: found for name, answer in asked[1].items() if (found := list(extras(answer)))}
    assert unknown == {}
    read = [name for name, answer in asked[1].items() if isinstance(answer, BaseModel)]
    assert len(read) > 170, "answers are models"


def extras(value: Any) -> Iterator[str]:
    """The fields of an answer that its models do not know."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or {}
        for name in type(value).model_fields:
            yield from extras(getattr(value, name))
    elif isinstance(value, list | dict):
        for each in value if isinstance(value, list) else value.values():
            yield from extras(each)


def test_every_schema_has_a_model_with_its_fields() -> None:
    for name, schema in SCHEMAS.items():
        model: type[BaseModel] = getattr(models, name)
        if "properties" not in schema:
            continue  # a word
        assert set(model.model_fields) == set(schema.get("properties", {})), name


def test_both_halves_have_the_same_methods_with_the_same_arguments() -> None:
    waiting, blocking = AsyncHeadrace("a-key"), Headrace("a-key")
    for name, method in methods(blocking):
        part, _, verb = name.partition(".")
        other = getattr(getattr(waiting, part), verb)
        assert list(inspect.signature(other).parameters) == list(inspect.signature(method).parameters), name
    assert {name for name in vars(waiting) if name[0] != "_"} == {name for name in vars(blocking) if name[0] != "_"}


def test_what_is_made_is_up_to_date() -> None:
    assert stale(made()) == [], "run `python -m making` in clients/python"


def test_every_method_says_what_it_does_and_which_route_it_calls() -> None:
    for name, method in methods(Headrace("a-key")):
        assert "`" in (method.__doc__ or ""), name


def test_it_is_written_for_python_310_and_is_one_release() -> None:
    given = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]
    assert (given["version"], given["requires-python"]) == (VERSION, ">=3.10")
    assert [each.partition(">")[0] for each in given["dependencies"]] == ["httpx", "pydantic"]
    for path in PACKAGE.rglob("*.py"):
        compile_for_310(path)


def compile_for_310(path: Path) -> None:
    """Raises SyntaxError for what Python 3.10 cannot read."""
    import ast

    ast.parse(path.read_text(), filename=str(path), feature_version=(3, 10))
