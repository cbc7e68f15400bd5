"""The far sides themselves: a plan is the same in every run, and a server of its own process shares its book."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.far_side.book import Book
from tests.far_side.faults import Faults

SHARE = {"lose": 0.2, "limited": 0.2, "error": 0.1}


def drawn(faults: Faults, keys: list[str]) -> dict[str, list[str | None]]:
    found: dict[str, list[str | None]] = {}
    for key in keys:
        fault = faults.choose("POST", "/v1/x", key)
        found.setdefault(key, []).append(fault.kind if fault else None)
    return found


def test_a_plan_is_the_same_in_every_run_whatever_comes_first() -> None:
    keys = [f"job-{number}:1" for number in range(200)] * 3
    first = drawn(Faults(seed=7, share=SHARE), keys)
    assert drawn(Faults.load(Faults(seed=7, share=SHARE).dump()), keys[::-1]) == first
    assert drawn(Faults(seed=8, share=SHARE), keys) != first
    counts = Counter(kind for kinds in first.values() for kind in kinds)
    assert 60 < counts["lose"] < 180
    assert 60 < counts["limited"] < 180
    assert 20 < counts["error"] < 100


def test_a_key_is_left_alone_after_its_faults_so_that_every_job_ends() -> None:
    kinds = drawn(Faults(share={"error": 1.0}, per_key=2), ["job:1"] * 5)["job:1"]
    assert kinds == ["error", "error", None, None, None]


def test_rules_go_first_and_only_for_what_they_fit() -> None:
    faults = Faults()
    faults.add("cut", method="GET")
    faults.add("lose", path="/speech", times=2)
    assert faults.choose("POST", "/images", None) is None
    chosen = [faults.choose("POST", "/audio/speech", None) for _ in range(3)]
    assert [each.kind if each else None for each in chosen] == ["lose", "lose", None]
    assert faults.choose("GET", "/x", None) is not None


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="explode"):
        Faults.load('{"rules": [{"kind": "explode"}]}')
    with pytest.raises(ValueError, match="explode"):
        Faults(share={"explode": 0.1})


@pytest.mark.parametrize(("module", "path", "body"), [
    ("openai", "/images/generations", {"prompt": "x", "model": "m"}),
    ("replicate", "/models/acme/paint/predictions", {"input": {}}),
])  # fmt: skip
def test_a_server_of_its_own_process_misbehaves_as_told_and_its_book_is_read_here(
    module: str, path: str, body: object, tmp_path: Path
) -> None:
    file = tmp_path / "book.sqlite"
    faults = Faults()
    faults.add("limited", retry_after=0.5)
    faults.add("lose")
    command = [sys.executable, "-m", f"tests.far_side.{module}", "--faults", faults.dump(), "--book", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            with httpx.Client(headers={"Idempotency-Key": "job:1"}, trust_env=False) as client:
                assert client.post(url + path, json=body).headers["retry-after"] == "0.5"
                with pytest.raises(httpx.RemoteProtocolError):
                    client.post(url + path, json=body)
                assert client.post(url + path, json=body).status_code in {200, 201}
        finally:
            process.terminate()
    book = Book(file)
    assert [call["fault"] for call in book.calls()] == ["limited", "lose", None]
    assert book.starts_per_key() == {"job:1": 2}  # a server that ignores keys: begun twice, paid twice
    assert json.dumps(book.calls()[0]["body"]) == json.dumps(body)
    book.close()
