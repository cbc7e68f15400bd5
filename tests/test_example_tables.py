"""The tables in docs/port-*.md agree with the examples, and show what a run did. No system is needed."""

import re
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from headrace_client import Headrace, NotFound

from cli.embedded.servers import free_ports
from examples import tables
from examples.__main__ import EXAMPLES
from examples.noting import NOTES, Noted, NotingHeadrace, shown_value
from examples.running import Difference, Outcome, Place, Step, answered, eventually, refused, same

# The parts of the four products: /spec, A to D. F and E are no product's.
PARTS = {"cineweave": ("A", 9), "pixorly": ("B", 9), "webclient": ("C", 4), "reimaji": ("D", 10)}
MARKERS = re.compile(f"^{re.escape(tables.BEGIN)}$.*?^{re.escape(tables.END)}$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def steps() -> dict[str, list[Step]]:
    """What the examples would do, if there were a system."""
    issuer, mail, xendit = free_ports(3)
    given = {
        "HEADRACE_ADMIN_KEY": "hr_x", "PROVISIONING_ADMIN_TOKEN": "x", "CLERK_WEBHOOK_SECRET": "whsec_eA==",
        "OIDC_ISSUERS": f"http://127.0.0.1:{issuer}", "SMTP_URL": f"smtp://127.0.0.1:{mail}",
        "XENDIT_URL": f"http://127.0.0.1:{xendit}", "XENDIT_CALLBACK_TOKEN": "x",
    }  # fmt: skip
    with ExitStack() as stack, httpx.Client(transport=httpx.MockTransport(_refuse)) as client:
        place = Place("http://127.0.0.1:1", client)
        return {name: list(example.steps(place, given, stack)) for name, example in EXAMPLES.items()}


def _refuse(_: httpx.Request) -> httpx.Response:
    return httpx.Response(404, json={"code": "not_found"})


@pytest.mark.parametrize("name", list(PARTS))
def test_each_document_has_a_row_for_each_function_in_the_products_order(
    name: str, steps: dict[str, list[Step]]
) -> None:
    document = tables.document_of(name).read_text()
    assert len(MARKERS.findall(document)) == 1
    shown = tables.names_in(tables.table_in(document))
    assert shown == [tables.name_of(step) for step in tables.in_order(steps[name])]
    assert len(set(shown)) == len(shown), "two rows cannot be told apart"


@pytest.mark.parametrize("name", list(PARTS))
def test_each_part_of_a_product_has_a_step(name: str, steps: dict[str, list[Step]]) -> None:
    letter, parts = PARTS[name]
    ported = {step.ports.split()[0] for step in steps[name]}
    assert ported == {f"{letter}{number}" for number in range(1, parts + 1)}


def test_what_a_step_calls_and_finds_is_noted_once_and_in_order() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(404, json={"code": "not_found"}))
    with httpx.Client(transport=transport) as http:
        client: Headrace = NotingHeadrace("hr_x", "http://127.0.0.1:1", http_client=http)
        NOTES.begin()
        refused(404, "not_found", client.me.get)
        assert answered(client.acting_for("clerk:ada").jobs.list) == 404
        with pytest.raises(NotFound):
            client.jobs.run("sketch-image", prompt="a fox")
        client.jobs.list(status="failed")
        same((2, "studio"), (2, "studio"), "credits and plan")
        eventually(lambda: "user_0123456789ab", "user_0123456789ab", "whose it is")
    noted = NOTES.end()
    assert noted.calls == (
        "`client.me.get` GET /v1/me",
        "`client.acting_for`",
        "`client.jobs.list` GET /v1/jobs",
        "`client.jobs.run` POST /v1/jobs",
    )
    assert noted.facts == ("refused with 404 `not_found`", "credits and plan: 2, studio", "whose it is ✓")
    NOTES.begin()
    assert NOTES.end() == Noted((), ())


def test_a_refusal_that_is_another_or_does_not_come_is_a_difference() -> None:
    def refuse() -> None:
        raise NotFound(404, {"code": "not_found"}, {})

    assert refused(404, "not_found", refuse).status == 404
    for status, code, ask in ((404, "gone", refuse), (403, "not_found", refuse), (404, "not_found", list)):
        with pytest.raises(Difference):
            refused(status, code, ask)


@pytest.mark.parametrize(("value", "shown"), [
    (3, "3"), (100_000_000_000, "100000000000"), (5.0, "5.0"), (True, "yes"), (None, "none"), ([], "none"), ({}, "none"), ("", "nothing"),
    ((4, "released", None), "4, released, none"), ({"plan": "free", "enough": False}, "plan free, enough no"),
    ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", None), ("user_5e5e5e5e5e5e", None), ("a@example.com", None),
    ("2026-11-29T10:00:00Z", None), ("http://127.0.0.1:1/x", None), ((1, "user_5e5e5e5e5e5e"), None), (object(), None),
    ({"id": "3f2504e04f89"}, None), ("x" * 61, None), ("two\nlines", None),
])  # fmt: skip
def test_what_differs_from_run_to_run_is_not_shown(value: object, shown: str | None) -> None:
    assert shown_value(value) == shown


def _step(ports: str, says: str = "it is done") -> Step:
    return Step(ports, says, lambda: None)


def test_a_table_goes_by_the_products_order_and_keeps_the_rows_of_what_was_left_out() -> None:
    late, first, second = _step("A10 last"), _step("A2 one | two"), _step("A2 other")
    noted = {late: Noted(("`a`", "`b`"), ("x: 1",)), first: Noted((), ())}
    table = tables.table_of(
        [late, first, second], noted, "| A2 **other**: it is done | `c` | y |\n| A1 **gone**: x | – | – |\n"
    )
    assert table.removeprefix(tables.HEAD).splitlines() == [
        "| A2 **one \\| two**: it is done | – | – |",
        "| A2 **other**: it is done | `c` | y |",
        "| A10 **last**: it is done | `a`<br>`b` | x: 1 |",
    ]
    assert tables.names_in(table) == [
        "A2 **one \\| two**: it is done",
        "A2 **other**: it is done",
        "A10 **last**: it is done",
    ]


def test_a_table_that_a_run_does_not_bear_out_is_told_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tables, "DOCS", tmp_path)
    path, step = tmp_path / "port-x.md", _step("A1 one")
    outcome = Outcome("x", [step])
    outcome.noted[step] = Noted(("`a`",), ("found: \\1",))
    path.write_text("no markers")
    with pytest.raises(tables.NoTable):
        tables.differences(outcome)
    path.write_text(f"before\n{tables.BEGIN}\n{tables.END}\nafter\n")
    assert tables.differences(outcome)[-1] == "+| A1 **one**: it is done | `a` | found: \\1 |"
    tables.write_table(outcome)
    text = path.read_text()
    assert (text.startswith(f"before\n{tables.BEGIN}\n| function"), text.endswith(f" |\n{tables.END}\nafter\n")) == (
        True,
        True,
    )
    assert tables.differences(outcome) == []
    outcome.noted[step] = Noted(("`a`",), ("found: 2",))
    assert tables.differences(outcome)[-2:] == [
        "-| A1 **one**: it is done | `a` | found: \\1 |", "+| A1 **one**: it is done | `a` | found: 2 |",
    ]  # fmt: skip
