"""Each gate of tests/gates.py is shown a violation and refuses it, and is shown what is right and lets it pass: a gate that
cannot fail guards nothing.
"""

from pathlib import Path

import pytest

from tests.gates import (
    FILE_LINES,
    FUNCTION_LINES,
    MIGRATIONS,
    clocks,
    commits,
    long_file,
    long_functions,
    names_of_two_things,
    renamed_modules,
    silenced_without_reason,
    sources,
)


def python_of(lines: int) -> str:
    return "def work():\n" + "    pass\n" * (lines - 1)


def sql_of(lines: int) -> str:
    return "create or replace function work(p int) returns void\nlanguage sql as $$\n" + "\n" * (lines - 3) + "$$;\n"


def test_the_walk_finds_what_lies_deep(tmp_path: Path) -> None:
    for name in ("models/x.py", "models/jobs/deep/er/y.sql", "workers/z.lua", "models/jobs/n.txt", "docs/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = sources(tmp_path, ["models", "workers"])
    assert found == {name: name for name in ("models/x.py", "models/jobs/deep/er/y.sql", "workers/z.lua")}


def test_a_file_has_at_most_four_hundred_lines() -> None:
    assert not long_file("models/jobs/end.py", "\n" * FILE_LINES)
    assert long_file("models/jobs/end.py", "\n" * FILE_LINES + "one more, without an end of line")
    assert long_file("workers/calls/limits.lua", "\n" * (FILE_LINES + 1))
    assert not long_file(f"{MIGRATIONS}0001_the_spine.py", "\n" * 600)


@pytest.mark.parametrize(("path", "of"), [("models/a/b.py", python_of), ("models/a/b.sql", sql_of)])
def test_a_function_has_at_most_seventy_lines(path, of) -> None:
    assert of(FUNCTION_LINES).count("\n") == FUNCTION_LINES
    assert not long_functions(path, of(FUNCTION_LINES))
    assert long_functions(path, "\n\n" + of(FUNCTION_LINES + 1)) == [f"{path}: work: 71 lines"]


def test_methods_and_functions_within_functions_count() -> None:
    method = "class Thing:\n    async def work(self):\n" + "        pass\n" * FUNCTION_LINES
    assert long_functions("api/x.py", method) == ["api/x.py: work: 71 lines"]


def test_every_function_of_a_file_of_sql_is_measured_by_itself() -> None:
    text = sql_of(40) + sql_of(40).replace("work", "rest").replace("$$", "$body$")
    assert not long_functions("models/a/b.sql", text)
    assert long_functions("models/a/b.sql", text + sql_of(90)) == ["models/a/b.sql: work: 90 lines"]


def test_a_script_of_lua_is_a_function() -> None:
    helper = "local function help(x)\n" + "  x = x\n" * 60 + "end\n"
    assert not long_functions("a/b.lua", "-- What it does.\n" * 20 + helper + "return 1\n" * 60)
    assert long_functions("a/b.lua", helper + "return 1\n" * 71) == ["a/b.lua: b.lua: 71 lines"]
    assert long_functions("a/b.lua", helper.replace("x = x\n", "x = x\n\n")) == ["a/b.lua: help: 122 lines"]


@pytest.mark.parametrize(
    "text",
    ["conn.commit()", "session.rollback()", "with conn.transaction():\n    pass", "engine.begin()", "\n  COMMIT;"],
)
def test_only_one_file_commits(text: str) -> None:
    assert commits("models/jobs/end.py", text)
    assert not commits("models/db.py", text)


@pytest.mark.parametrize(
    "text",
    [
        "with transaction() as conn:\n    pass",
        "with db.transaction() as conn:\n    pass",
        "# no commit here",
        "on commit drop",
    ],
)
def test_a_transaction_of_models_db_is_no_commit_of_ones_own(text: str) -> None:
    assert not commits("models/jobs/end.py", text)


@pytest.mark.parametrize(
    "text",
    ["where at < now()", "select NOW ()", "default current_timestamp", "clock_timestamp()", "where day = current_date"],
)
@pytest.mark.parametrize("path", ["models/jobs/steps.py", "models/jobs/end_job.sql", "scheduler/turns.py"])
def test_sql_asks_no_other_clock_than_the_databases_shifted_one(path: str, text: str) -> None:
    assert clocks(path, f'"{text}"')


def test_a_clock_of_ones_own_is_no_clock_of_sql() -> None:
    assert not clocks("api/edge/flow.py", "self._now()\nself.now()\nwhere at < app_now()")
    assert not clocks(f"{MIGRATIONS}0001_the_spine.py", "create function app_now() … select now()")


@pytest.mark.parametrize("text", ["datetime.now(UTC)", "datetime.utcnow()", "date.today()", "time.time()"])
def test_models_ask_no_clock_of_the_process(text: str) -> None:
    assert clocks("models/jobs/steps.py", text)
    assert not clocks("storage/s3.py", text), "S3 has a clock of its own"


@pytest.mark.parametrize(
    "comment",
    [
        "noqa", "noqa: S101", "noqa: S101 -", "noqa: S101  a reason without its dash", "noqa: S101 - ", "type: ignore",
        "type: ignore[arg-type]", "type: ignore[arg-type]  #", "type: ignore  # a reason, and no code",
    ],
)  # fmt: skip
def test_what_silences_a_check_says_why(comment: str) -> None:
    assert silenced_without_reason("a.py", f"x = 1  # {comment}\n") == [f"a.py:1: # {comment}"]


@pytest.mark.parametrize(
    "comment",
    [
        "noqa: S101 - one row", "noqa: S101, BLE001 - the caller's", "type: ignore[arg-type]  # a stub is wrong",
        "fmt: skip",
    ],
)  # fmt: skip
def test_what_silences_a_check_and_says_why_passes(comment: str) -> None:
    assert not silenced_without_reason("a.py", f"x = 1  # {comment}\n")


MODULES = frozenset({"models.credits", "models.credits.audit"})


@pytest.mark.parametrize(
    "text",
    [
        "from models.credits import audit as books", "import models.credits.audit as books",
        "def f():\n    from models.credits import ledger, audit as books",
    ],
)  # fmt: skip
def test_a_module_of_ours_keeps_its_name_where_it_is_imported(text: str) -> None:
    assert renamed_modules("a.py", text, MODULES) == ["a.py: models.credits.audit as books"]


def test_functions_and_modules_of_others_may_be_renamed() -> None:
    fine = "from models.credits.audit import stuck as stuck_jobs\nimport numpy as np\nfrom models.credits import audit as audit"
    assert not renamed_modules("a.py", fine, MODULES)


def test_two_public_types_of_one_name_are_found_and_private_ones_are_not() -> None:
    sources = {
        "a.py": "class Sender: pass\nclass _Own: pass\nLIMIT = 1", "b.py": "Sender = int | str\nclass _Own: pass\nLIMIT = 2",
        "c.py": "class Other:\n    class Sender: pass",
    }  # fmt: skip
    assert names_of_two_things(sources) == {"Sender": ["a.py", "b.py"]}
