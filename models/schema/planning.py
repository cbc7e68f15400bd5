"""What pending migrations will do, before they do it: `headrace migrate --plan`.

Each migration's own operations are written out as SQL, without a database, and each statement is put into words: which table it locks, against
whom, and for how long. What a migration decides by looking into the database cannot be read beforehand; such a one says it
itself, in `plan`: a sequence of (what it does, the table, the name of an effect).
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from types import ModuleType
from typing import NamedTuple

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script


class Effect(StrEnum):
    """What others feel of a step, from nothing to the worst."""

    NOTHING = "locks no table that is in use"
    SHORT = "takes a lock for a moment; it waits at most 5 s for it"
    READS = "reads the whole table, while others read and write"
    MOVES = "changes rows; who wants to change the same ones waits until it is done"
    NO_WRITES = "reads the whole table; who writes to it waits until it is done"
    HELD = "is locked for a moment's change, but until the whole migration is done: its other steps take longer"
    READS_ALONE = "reads the whole table; who reads or writes it waits until it is done"
    REWRITES = "writes the whole table anew; who reads or writes it waits until it is done"
    UNKNOWN = "cannot be read beforehand: it looks into the database and decides"


class Step(NamedTuple):
    """One statement of a migration, in words. `table` None: none."""

    does: str
    table: str | None
    effect: Effect


class PlannedMigration(NamedTuple):
    """A migration that the database has not: its own first line, when it may run, and what it does to each table that is in use."""

    revision: str
    about: str
    deploy: str
    steps: Sequence[Step]


_NAME = r'(?:only )?"?(\w+)"?'
_INDEX = re.compile(rf"create (unique )?index (concurrently )?(?:if not exists )?\"?\w+\"? on {_NAME}")
_ALTER = re.compile(rf"alter table (?:if exists )?{_NAME} (.*)", re.DOTALL)
_TRIGGER = re.compile(rf"(create(?: or replace)?(?: constraint)?|drop) trigger .*? on {_NAME}", re.DOTALL)
_ROWS = re.compile(rf"(?:with .*?)?(insert into|update|delete from) {_NAME}", re.DOTALL)
_DROP = re.compile(rf"drop (table|index) (concurrently )?(?:if exists )?{_NAME}")
_MADE = re.compile(rf"create table (?:if not exists )?{_NAME}")
_REFERENCES = re.compile(r"references \"?(\w+)\"?")
_UNFELT = re.compile(r"(create|drop|alter|comment|grant|revoke|set|select set_config)\b.*", re.DOTALL)
# What an added column's default is computed anew for in each row, so that all are written.
_OF_EACH_ROW = re.compile(r"\bgenerated\b|serial\b|random|clock.timestamp|nextval")


def plan_of(script: Script) -> PlannedMigration:
    """What one migration will do. Pure."""
    module = script.module
    about = (script.doc or "").strip().splitlines()
    return PlannedMigration(
        script.revision, about[0] if about else "", str(getattr(module, "deploy", "")), by_table(list(_felt(module)))
    )


def by_table(steps: Sequence[Step]) -> list[Step]:
    """One step a table, with the worst of its effects. A migration is one transaction, so a lock that is taken for a moment is held for as long as the
    steps after it take. Pure.
    """
    long = [number for number, each in enumerate(steps) if each.effect not in {Effect.NOTHING, Effect.SHORT}]
    last = long[-1] if long else -1
    found: dict[str | None, Step] = {}
    for number, each in enumerate(steps):
        effect = Effect.HELD if each.effect is Effect.SHORT and number < last else each.effect
        before = found.get(each.table, each._replace(effect=effect))
        does = before.does if each.does in before.does.split(", ") else f"{before.does}, {each.does}"
        found[each.table] = Step(does, each.table, max(before.effect, effect, key=list(Effect).index))
    return list(found.values())


def _felt(module: ModuleType) -> Iterator[Step]:
    said = getattr(module, "plan", None)
    if said is not None:
        yield from (Step(does, table, Effect[effect]) for does, table, effect in said)
        return
    try:
        statements = written_out(module)
    except Exception:  # noqa: BLE001 - whatever it asks of a database that is not there
        yield Step("", None, Effect.UNKNOWN)
        return
    new = {found[1] for each in statements if (found := _MADE.match(_plain(each)))}
    for each in statements:
        yield from (step for step in steps_of(each) if step.table not in new and step.effect is not Effect.NOTHING)


class _Written(list[str]):
    """A list that is written to like a file."""

    def write(self, text: str) -> None:
        self.append(text.strip().removesuffix(";"))

    def flush(self) -> None:
        """Nothing waits."""


def written_out(module: ModuleType) -> list[str]:
    """The statements of a migration's upgrade. Raises whatever it raises without a database."""
    out = _Written()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": out})
    with Operations.context(context):
        module.upgrade()
    return [each for each in out if each]


def _plain(statement: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", statement)).strip().lower()


def steps_of(statement: str) -> list[Step]:
    """What others feel of one statement. Pure."""
    text = _plain(statement)
    if found := _INDEX.match(text):
        return [Step("builds an index", found[3], Effect.READS if found[2] else Effect.NO_WRITES)]
    if found := _MADE.match(text):
        return [Step("is referred to", name, Effect.SHORT) for name in dict.fromkeys(_REFERENCES.findall(text))]
    if found := _ALTER.match(text):
        return [_altered(found[1], found[2])]
    if found := _TRIGGER.match(text):
        return [Step(f"{'drops' if found[1] == 'drop' else 'makes'} a trigger", found[2], Effect.SHORT)]
    if found := _DROP.match(text):
        return [Step(f"drops {'the table' if found[1] == 'table' else 'an index'}", found[3], Effect.SHORT)]
    if found := _ROWS.match(text):
        return [Step("changes rows", found[2], Effect.MOVES)]
    if _UNFELT.match(text):
        return []
    return [Step(text[:80], None, Effect.UNKNOWN)]


def _altered(table: str, change: str) -> Step:
    """What a change of a table does to it."""
    if change.startswith("add column") or re.match(
        r'add "?(?!constraint|primary|unique|foreign|check|exclude)\w+"? ', change
    ):
        return Step("adds a column", table, Effect.REWRITES if _OF_EACH_ROW.search(change) else Effect.SHORT)
    if "validate constraint" in change:
        return Step("checks what is there", table, Effect.READS)
    if change.startswith("add"):
        if change.endswith("not valid"):
            return Step("adds a rule for new rows", table, Effect.SHORT)
        using = " using index " in change
        return Step("adds a rule", table, Effect.SHORT if using else Effect.READS_ALONE)
    if re.match(r"alter (column )?\S+ (set data )?type", change):
        return Step("changes a column's type", table, Effect.REWRITES)
    if re.match(r"alter (column )?\S+ set not null", change):
        return Step("forbids null", table, Effect.READS_ALONE)
    if re.match(r"(alter|drop|rename|set|reset|disable|enable|attach|detach|replica|owner|no|inherit)\b", change):
        return Step("changes the table's description", table, Effect.SHORT)
    return Step(change[:80], table, Effect.UNKNOWN)
