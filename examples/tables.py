"""The tables in docs/port-*.md: what each function of a product is here, as the example's own run did it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff
from pathlib import Path

from examples.noting import Noted
from examples.running import Outcome, Step

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN = "<!-- begin: `python -m examples --start --write` writes this table -->"
END = "<!-- end -->"
HEAD = "| function | call | result |\n|---|---|---|\n"
_BETWEEN = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)


class NoTable(Exception):
    """The document has no place for the table."""


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Steps by the part of the product whose function they port; an example may have to do them in another order."""
    return sorted(steps, key=lambda step: (step.ports[0], int(re.findall(r"\d+", step.ports)[0])))


def name_of(step: Step) -> str:
    """The first cell of a step's row."""
    part, _, function = step.ports.partition(" ")
    return _cell(f"{part} **{function}**: {step.says}")


def table_of(steps: Sequence[Step], noted: Mapping[Step, Noted], before: str = "") -> str:
    """A row for each step. One that was left out keeps the row that it has in the table before."""
    known = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines()}
    rows = (known.get(name_of(step), "") if step not in noted else _row(step, noted[step]) for step in in_order(steps))
    return HEAD + "".join(f"{row}\n" for row in rows if row)


def _row(step: Step, done: Noted) -> str:
    calls, facts = (_cell("<br>".join(each) or "–") for each in done)
    return f"| {name_of(step)} | {calls} | {facts} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def names_in(table: str) -> list[str]:
    """The first cells of a table's rows."""
    return [line.split(" | ")[0].removeprefix("| ") for line in table.removeprefix(HEAD).splitlines()]


def table_in(document: str) -> str:
    """The table that a document has now. Raises NoTable."""
    found = _BETWEEN.search(document)
    if found is None:
        raise NoTable(f"the document has no line {BEGIN}")
    return found.group()


def document_of(name: str) -> Path:
    """Where an example's table stands."""
    return DOCS / f"port-{name}.md"


def differences(outcome: Outcome) -> list[str]:
    """How an example's run differs from its table, as lines of a diff. Raises NoTable."""
    before = table_in(document_of(outcome.name).read_text())
    now = table_of(outcome.steps, outcome.noted, before)
    path = f"docs/{document_of(outcome.name).name}"
    return list(unified_diff(before.splitlines(), now.splitlines(), path, "this run", n=0, lineterm=""))


def write_table(outcome: Outcome) -> None:
    """Put what an example's run did into its document. Raises NoTable."""
    path = document_of(outcome.name)
    document = path.read_text()
    now = table_of(outcome.steps, outcome.noted, table_in(document))
    path.write_text(_BETWEEN.sub(lambda _: now, document))
