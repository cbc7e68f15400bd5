"""House rules that a machine can check. Each is a pure function over a file's path and text that returns what breaks it, so
that tests/test_gates.py can show each of them a violation; tests/test_repository.py applies them to the tree.
"""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path, PurePath

FILE_LINES = 400
FUNCTION_LINES = 70
# A migration is a record of what was done, in the order in which it was done, and is never edited.
MIGRATIONS = "models/schema/migrations/versions/"
# Bodies in SQL that are longer, with the reason why.
LONG_SQL: dict[str, str] = {}
# Besides models/db.py, Alembic's own connection: migrations commit what they did, and what is only tried is rolled back.
COMMITTING = {"models/db.py", "models/schema/migrations/__init__.py", "models/schema/functions.py"}
OURS = (
    "api",
    "workers",
    "scheduler",
    "storage",
    "companies",
    "common",
    "models",
    "cli",
    "benchmarks",
    "examples",
    "tests",
)

_SQL_FUNCTION = re.compile(
    r"create\s+(?:or\s+replace\s+)?(?:function|procedure)\s+(\w+).*?(\$\w*\$).*?\2", re.IGNORECASE | re.DOTALL
)
_LUA_FUNCTION = re.compile(r"^(?:local )?function (\w+).*?^end$\n?", re.MULTILINE | re.DOTALL)
_SILENCED = re.compile(r"#\s*(?:noqa|type:\s*ignore)\b")
_WITH_REASON = re.compile(
    r"# noqa: [A-Z]+\d+(?:, ?[A-Z]+\d+)* - \S.*|# type: ignore\[[\w, -]+\](?:  # noqa: \S+)?  # \S.*"
)
_COMMIT = re.compile(
    r"(?:\.(?:commit|rollback|begin)|(?<!\bdb)\.transaction)\(\)|^\s*(?:commit|rollback)\s*;", re.IGNORECASE
)
_SQL_CLOCK = re.compile(
    r"(?<![\w.])now\s*\(\)|\b(?:clock|statement|transaction)_timestamp\b|\bcurrent_(?:timestamp|date|time)\b",
    re.IGNORECASE,
)
_OWN_CLOCK = re.compile(r"\bdatetime\.(?:now|utcnow|today)\(|\bdate\.today\(|\btime\.time\(")


def sources(root: Path, folders: Iterable[str], kinds: Set[str] = frozenset({".py", ".sql", ".lua"})) -> dict[str, str]:
    """Path → text of what stands in these folders of the tree, at whatever depth."""
    found = (path for folder in folders for path in sorted((root / folder).rglob("*")) if path.suffix in kinds)
    return {path.relative_to(root).as_posix(): path.read_text() for path in found}


def long_file(path: str, text: str) -> list[str]:
    """A file that is too long to be read at once. Lines of Lua and SQL count like any other."""
    lines = len(text.splitlines())
    return [f"{path}: {lines} lines"] if lines > FILE_LINES and not path.startswith(MIGRATIONS) else []


def long_functions(path: str, text: str) -> list[str]:
    """Functions that are too long, from the line of their `def` (or `create`, or `function`) to their last."""
    if path.startswith(MIGRATIONS):
        return []
    return [
        f"{path}: {name}: {lines} lines"
        for name, lines in _functions(path, text)
        if lines > FUNCTION_LINES and not (path.endswith(".sql") and name in LONG_SQL)
    ]


def _functions(path: str, text: str) -> Iterator[tuple[str, int]]:
    match PurePath(path).suffix:
        case ".py":
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node.name, (node.end_lineno or 0) - node.lineno + 1
        case ".sql":
            for found in _SQL_FUNCTION.finditer(text):
                yield found[1], found[0].count("\n") + 1
        case ".lua":
            # A script is the body of a function that Redis makes of it; the functions in it count by themselves.
            # What a file says of itself before it begins is no part of it.
            body = re.sub(r"\A(?:--.*\n|\n)*", "", _LUA_FUNCTION.sub("", text))
            yield PurePath(path).name, len(body.splitlines())
            for found in _LUA_FUNCTION.finditer(text):
                yield found[1], len(found[0].splitlines())


def commits(path: str, text: str) -> list[str]:
    """House rule 1: only models/db.py commits, by its own `db.transaction()`. A savepoint says on its line that it is one."""
    if path in COMMITTING:
        return []
    lines = [line for line in text.splitlines() if not line.rstrip().endswith("# a savepoint")]
    return [f"{path}: {found[0].strip()}" for line in lines for found in _COMMIT.finditer(line)]


def clocks(path: str, text: str) -> list[str]:
    """House rule 5: verbs compare with the database's app_now(). No other clock stands in SQL, wherever it is, and none of the
    process's in models.
    """
    if path.startswith(MIGRATIONS) or path == "models/schema/app_now.sql":  # where app_now() is defined
        return []
    patterns = [_SQL_CLOCK, _OWN_CLOCK] if path.startswith("models/") else [_SQL_CLOCK]
    return [f"{path}: {found[0]}" for pattern in patterns for found in pattern.finditer(text)]


def silenced_without_reason(path: str, text: str) -> list[str]:
    """Every `noqa` names its rule and, after a dash, its reason; every `type: ignore` its reason in a comment of its own."""
    return [
        f"{path}:{token.start[0]}: {token.string}"
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and _SILENCED.match(token.string) and not _WITH_REASON.fullmatch(token.string)
    ]


def renamed_modules(path: str, text: str, modules: frozenset[str]) -> list[str]:
    """Imports of a module of ours under another name; `modules` are the dotted names of ours."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            given = [(each.name, each) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            given = [(f"{node.module}.{each.name}", each) for each in node.names]
        else:
            continue
        found += [
            f"{path}: {name} as {each.asname}"
            for name, each in given
            if name in modules and each.asname not in {None, name.rpartition(".")[2]}
        ]
    return found


def names_of_two_things(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Public classes and types whose name stands in more than one file: name → files."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path, text in sources.items():
        for name in _types(text):
            homes[name].append(path)
    return {name: sorted(paths) for name, paths in homes.items() if len(paths) > 1}


def _types(text: str) -> set[str]:
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.add(node.targets[0].id)
    return {name for name in found if re.match(r"[A-Z][A-Za-z]*[a-z]", name)}
