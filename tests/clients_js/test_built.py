"""What is built is what lies here: types from the document of the API, and sizes that pages can carry; node's own tests."""

import json
import re

from tests.clients_js.house import CLIENTS, needs_clients, run_node

DOCUMENT = json.loads((CLIENTS.parents[1] / "docs" / "openapi.json").read_text())

# POSTs under /v1 that take no Idempotency-Key, of which the client knows that the same again does no harm: what they set is set, what
# they end has ended, what they read is read. (Whoever adds a POST that makes something lets it take the key.)
SAME_TWICE = re.compile(
    r"/(accept|cancel|drain|erase|items|items/order|items/remove|keep|leave|members|paid|pauses|pauses/resume|progress|publish|quotes"
    r"|read|rest|restore|resume|stop|suspend|token|tokens|unpublish|users|wake)$"
)


def test_every_post_takes_a_key_or_may_be_sent_twice() -> None:
    bare = [
        path
        for path, methods in DOCUMENT["paths"].items()
        if path.startswith("/v1/") and "post" in methods
        and not any(each["name"].lower() == "idempotency-key" for each in methods["post"].get("parameters", []))
    ]  # fmt: skip
    assert [path for path in bare if not SAME_TWICE.search(path)] == []


def test_the_lock_names_no_registry_and_exact_versions() -> None:
    lock = json.loads((CLIENTS / "package-lock.json").read_text())
    assert {each["resolved"] for each in lock["packages"].values() if "resolved" in each} == {"client", "react"}
    made_with = json.loads((CLIENTS / "package.json").read_text())["devDependencies"]
    assert [each for each in made_with.values() if not re.fullmatch(r"\d+\.\d+\.\d+", each)] == []


@needs_clients
def test_the_packages_are_built_from_what_lies_here_and_are_small() -> None:
    run_node("build.mjs", "--check")
    sizes = dict(re.findall(r"^(\w+) +(\d+) bytes", run_node("build.mjs"), re.MULTILINE))
    assert int(sizes["hooks"]) < 8_000
    assert set(sizes) == {"hooks", "client", "webhooks"}


@needs_clients
def test_the_packages_hold_on_bad_days() -> None:
    told = run_node("--test", "tests/", seconds=120)
    assert re.search(r"^# pass [1-9]", told, re.MULTILINE)
    assert "# fail 0" in told
