"""What things are called: which part of the client a route belongs to, and the name of its method. Pure."""

import keyword
import re
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
# Called by companies and by other people's browsers, never by a program that has a key.
NOT_FOR_CLIENTS = ("/hooks/", "/console", "/account/", "/compat/")
# Written by hand, because they carry files, streams or lines: the method of the client that reaches each.
BY_HAND = {
    "create_file": "files.upload",
    "download_file": "files.download",
    "create_batch": "batches.create",
    "get_results": "batches.results",
    "get_job_events": "jobs.stream",
}
# Parts with methods written by hand: their generated half is the base of a class of the same name.
PARTS_BY_HAND = ("jobs", "files", "batches", "events")
# What the client sends by itself. (`token` opens a stream without a key; a client has one.)
OWN_HEADERS = ("idempotency-key", "last-event-id", "range")
OWN_PARAMETERS = {"get_events": ("token",), "get_usage": ("format",), "get_usage_of_accounts": ("format",)}
# The same route in another form: operation → name, what is sent besides.
AS_TEXT = {
    "get_usage": ("get_csv", {"format": "csv"}),
    "get_usage_of_accounts": ("get_usage_of_accounts_csv", {"format": "csv"}),
}
PARTS = {"api": "provisioning", "healthz": "health", "readyz": "health"}
RENAMED = {"get_events": "list", "get_credits": "get"}
# Parts whose methods keep the whole name of their operation: they are about several things.
WHOLE_NAMES = ("admin", "content", "playground", "provisioning", "health")


def part_of(path: str) -> str:
    """The attribute of the client under which a route is."""
    first, *rest = path.strip("/").split("/")
    if first == "v1":
        return rest[0].replace("-", "_")
    return PARTS.get(first, first)


def method_of(part: str, operation: str) -> str:
    """The name of a route's method: its operation without what the part already says.

    `create_job` of `jobs` is `create`, `list_collection_items` of `collections` is `list_items`.
    """
    if part in WHOLE_NAMES:
        return operation
    if operation in RENAMED:
        return RENAMED[operation]
    if part == "search":
        return operation.removeprefix("search_")
    verb, _, rest = operation.partition("_")
    one = re.sub("ie$", "y", re.sub("che$", "ch", part.removesuffix("s")))
    if rest in {part, one}:
        return verb
    for noun in (part, one):
        if rest.startswith(f"{noun}_"):
            return f"{verb}_{rest.removeprefix(f'{noun}_')}"
    return operation


def class_of(part: str) -> str:
    """The name of a part's class, without what says whether it waits."""
    return "".join(word.capitalize() for word in part.split("_"))


def argument(name: str) -> str:
    """A parameter as an argument of Python."""
    plain = re.sub(r"\W", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route that a client may call: method, path, operation."""
    return [
        (method.upper(), path, one)
        for path, item in document["paths"].items()
        if not path.startswith(NOT_FOR_CLIENTS)
        for method, one in item.items()
        if method in METHODS
    ]


def answer_of(operation: dict[str, Any]) -> dict[str, Any]:
    """What a route answers with when all is well: media type → its schema, or nothing."""
    found: dict[str, Any] = {}
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            for media, content in answer.get("content", {}).items():
                found.setdefault(media, content.get("schema"))
    return found


def body_of(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a JSON body; None: the route takes none."""
    content = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    if schema is not None and "$ref" in schema:
        named: dict[str, Any] = schemas[ref_name(schema)]
        return named
    return schema


def ref_name(schema: dict[str, Any]) -> str:
    """The name of the schema that this one points to."""
    return str(schema["$ref"]).rpartition("/")[2]
