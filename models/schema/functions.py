"""SQL functions: which of them a database of some revision has, and how they get there.

A function that Python calls has a version in its name, and a file of that name beside the verb that calls it. A migration
names what it brings (`functions`) and what goes (`retires`); a change is a new name, so that the processes of the release
before go on calling what they know. Files of functions that no code calls any more lie in `versions/superseded`, so that
every revision has its own.

PostgreSQL itself says what a file means: the file's function is made in the session's temporary schema, read, and undone.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from common.errors import DomainError

MODELS = Path(__file__).parents[1]
FILES: Mapping[str, Path] = {path.stem: path for path in MODELS.rglob("*.sql")}

_HEAD = re.compile(r"^create or replace function (\w+)\(", re.MULTILINE)
_FOUND = """
select p.proname, p.oid::regprocedure::text, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
       pg_get_functiondef(p.oid)
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.oid = {schema} and p.proname = any(:names) and p.prokind = 'f' order by p.oid"""
_OURS = _FOUND.format(schema="(select oid from pg_namespace where nspname = current_schema())")
_TEMPORARY = _FOUND.format(schema="pg_my_temp_schema()")


class SignatureChanged(DomainError):
    """A function of the database takes or gives something else than the code's of the same name."""

    code = "signature_changed"


class _Function(NamedTuple):
    address: str  # with the types of its arguments: what `drop function` takes
    arguments: str
    result: str
    definition: str  # all of it, but for the schema


class Difference(NamedTuple):
    """A function that the database has not, has twice, or has otherwise than the code."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"function {self.name} {self.why}"


def belonging(scripts: ScriptDirectory, revision: str | None) -> list[str]:
    """The names of the functions that a database of this revision has; None: before the first."""
    names: list[str] = []
    if revision is None:
        return names
    for script in reversed(list(scripts.walk_revisions("base", revision))):
        gone = set(getattr(script.module, "retires", ()))
        names = [name for name in names if name not in gone] + list(getattr(script.module, "functions", ()))
    return names


def known(scripts: ScriptDirectory) -> set[str]:
    """The names of all functions that any revision has or had."""
    return {name for script in scripts.walk_revisions() for name in getattr(script.module, "functions", ())}


def put(connection: Connection, wanted: Collection[str], ours: Collection[str]) -> None:
    """Give the database these functions, and of ours no others. Raises SignatureChanged, and has then changed nothing."""
    there = _found(connection, _OURS, ours)
    meant = _meant(connection, wanted)
    for name in ours:
        for each in there.get(name, []) if name not in meant else []:
            connection.execute(text(f"drop function {each.address}"))
    for name, new in meant.items():
        olds = there.get(name, [])
        for old in olds:
            if (old.arguments, old.result) != (new.arguments, new.result):
                raise SignatureChanged(
                    f"{name} is in this database as {old.address} returning {old.result}, and processes may be calling it: "
                    "give the changed function a new version, or drop the one that is there"
                )
        if [old.definition for old in olds] != [new.definition]:
            connection.exec_driver_sql(_text(name))


def differences(connection: Connection, wanted: Collection[str], ours: Collection[str]) -> list[Difference]:
    """Where the database's functions are not those that its revision should have."""
    there = _found(connection, _OURS, ours)
    meant = _meant(connection, wanted)
    found = [Difference(name, "should be gone") for name in sorted(set(there) - set(meant))]
    for name, new in meant.items():
        olds = there.get(name, [])
        if len(olds) != 1:
            found.append(Difference(name, f"is there {len(olds)} times" if olds else "is missing"))
        elif olds[0].definition != new.definition:
            found.append(Difference(name, "is not what its file says"))
    return found


def described(found: Iterable[object]) -> str:
    """One sentence for an operator about what `migrations.differences` has found."""
    found = list(found)
    functions = [str(each) for each in found if isinstance(each, Difference)]
    rest = len(found) - len(functions)
    places = [f"the schema differs from the code in {rest} places"] if rest else []
    return f"{'; '.join(places + functions)}: run `headrace migrate`"


def _text(name: str) -> str:
    return FILES[name].read_text().replace("%", "%%")


def _meant(connection: Connection, names: Collection[str]) -> dict[str, _Function]:
    """What these functions' files say, in the database's own words."""
    with connection.begin_nested() as undone:
        for name in names:
            temporary, made = _HEAD.subn(rf"create function pg_temp.{name}(", _text(name))
            if made != 1 or f"function pg_temp.{name}(" not in temporary:
                raise ValueError(f"{FILES[name]} must make one function, {name}")
            connection.exec_driver_sql(temporary)
        found = _found(connection, _TEMPORARY, names)
        undone.rollback()
    return {name: found[name][0] for name in names}


def _found(connection: Connection, statement: str, names: Collection[str]) -> dict[str, list[_Function]]:
    found: dict[str, list[_Function]] = {}
    for name, address, arguments, result, definition in connection.execute(text(statement), {"names": list(names)}):
        bare = re.sub(rf'^CREATE OR REPLACE FUNCTION .*?"?{name}"?\(', f"{name}(", definition, count=1)
        found.setdefault(name, []).append(_Function(address, arguments, result, bare))
    return found
