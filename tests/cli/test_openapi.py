"""The committed OpenAPI document is that of the code, and the check of it sees what has changed."""

import json
import sys
from functools import cache
from pathlib import Path

import pytest

from cli import openapi

made = cache(openapi.document)  # a second of work, and the same each time


@pytest.fixture(autouse=True)
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "document", made)


def check(monkeypatch: pytest.MonkeyPatch, *given: str) -> None:
    monkeypatch.setattr(sys, "argv", ["openapi", *given])
    openapi.main()


def test_the_committed_document_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch)


@pytest.mark.parametrize(("change", "said"), [
    (lambda document: document["paths"]["/v1/jobs"].pop("get"), "paths > /v1/jobs > get: new"),
    (lambda document: document["paths"]["/v1/jobs"].update(put={}), "paths > /v1/jobs > put: gone"),
    (lambda document: document["components"]["schemas"]["Job"]["properties"]["status"].update(enum=[]),
     "components > schemas > Job > properties > status > enum: changed"),
])  # fmt: skip
def test_a_document_that_differs_is_refused_with_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: object, said: str
) -> None:
    document = json.loads(openapi.COMMITTED.read_text())
    assert callable(change)
    change(document)
    (tmp_path / "old.json").write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    with pytest.raises(SystemExit) as refused:
        check(monkeypatch, "--file", str(tmp_path / "old.json"))
    assert said in str(refused.value.code).splitlines()
    assert "make openapi" in str(refused.value.code)
    check(monkeypatch, "--file", str(tmp_path / "old.json"), "--write")
    check(monkeypatch, "--file", str(tmp_path / "old.json"))


@pytest.mark.parametrize("text", ["", "{}\n"])
def test_a_document_that_is_not_there_or_empty_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    if text:
        (tmp_path / "old.json").write_text(text)
    with pytest.raises(SystemExit, match="make openapi"):
        check(monkeypatch, "--file", str(tmp_path / "old.json"))


def test_only_another_order_of_keys_is_a_difference_too() -> None:
    ours = openapi.document()
    assert openapi.differences(json.dumps(json.loads(ours)), ours) == ["only in how it is written"]
