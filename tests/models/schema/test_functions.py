"""SQL functions change without a moment in which one process calls what another one's release knows nothing of."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from models import db
from models.schema import functions, migrations
from models.schema.functions import Difference, SignatureChanged
from tests.models.schema.releases import Releases
from tests.support import one, rows

pytestmark = pytest.mark.usefixtures("database")

ROOT = Path(__file__).resolve().parents[3]
UNVERSIONED = {"dispatch_account", "deliver_events", "end_job"}
BASE = {"app_now", "refuse_change", "refuse_older_token", "refuse_unsettled"}
COUNTING = {
    "count_cost",
    "count_hold",
    "note_job",
    "note_storage",
    "count_results",
    "count_uploads",
}  # of triggers, which processes of every release set off
GRANTS = re.compile("(grant|revoke) execute on function")  # names types, and calls nothing
SINCE_0037 = {"refuse_rewriting"}  # of the trigger on ended jobs
UNTIL_0030 = {"count_job", "count_storage", "count_late_cost"}  # of triggers too; superseded


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    return Releases(tmp_path, monkeypatch)


def run(statement: str) -> None:
    with db.transaction() as conn:
        conn.execute(statement)


def there() -> list[str]:
    """The names of the database's functions, twice what is there twice; without those of extensions."""
    found = rows(
        """select proname from pg_proc p where pronamespace = current_schema()::regnamespace and prokind = 'f'
              and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')"""
    )
    return sorted(row[0] for row in found)


def text_of(name: str) -> str:
    return functions.FILES[name].read_text()


def with_parameter(name: str, as_: str) -> str:
    """The function of that name with one more parameter."""
    text, made = re.subn(rf"function {name}\(", f"function {as_}(p_more int, ", text_of(name))
    assert made == 1
    return text.replace(f"{name}.", f"{as_}.")


def with_column(name: str, as_: str) -> str:
    """The function of that name with one more column in its answer."""
    text = text_of(name).replace(f"function {name}(", f"function {as_}(").replace(f"{name}.", f"{as_}.")
    more = text.replace("out revoked jsonb\n", "out revoked jsonb, out more int\n")
    assert more != text
    return more


CHANGES = {"a parameter": with_parameter, "a column": with_column}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_function_is_a_new_name_and_the_old_one_stays_beside_it(releases: Releases, change: str) -> None:
    before = there()
    releases.file("end_job_v9", CHANGES[change]("end_job_v1", "end_job_v9"))
    releases.migration(new=("end_job_v9",))
    migrations.upgrade()
    assert there() == sorted([*before, "end_job_v9"])
    assert migrations.differences() == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_function_under_its_old_name_is_refused_and_nothing_is_done(releases: Releases, change: str) -> None:
    before = there()
    releases.file("end_job_v1", CHANGES[change]("end_job_v1", "end_job_v1"))
    releases.migration()
    with pytest.raises(SignatureChanged, match="give the changed function a new version"):
        migrations.upgrade()
    assert there() == before
    assert one("select version_num from alembic_version") == (releases.head,)


EMPTY = "begin null; end"
FAULTS = {
    "emptied": (
        f"""create or replace function deliver_events_v1(p_accounts uuid[], p_after bigint[], p_to bigint[])
            returns void language plpgsql as $$ {EMPTY} $$""",
        [Difference("deliver_events_v1", "is not what its file says")],
    ),
    "missing": (
        "drop function dispatch_account_v1",
        [Difference("dispatch_account_v1", "is missing")],
    ),
    "a clock of its own": (
        "create or replace function app_now() returns timestamptz language sql stable parallel safe as 'select now()'",
        [Difference("app_now", "is not what its file says")],
    ),
    "another volatility": (
        "alter function app_now() immutable",
        [Difference("app_now", "is not what its file says")],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_function_that_is_not_the_codes_is_found_said_and_mended(fault: str) -> None:
    statement, expected = FAULTS[fault]
    run(statement)
    assert migrations.differences() == expected
    assert functions.described(expected) == f"{expected[0]}: run `headrace migrate`"
    db.close()
    migrations.upgrade()
    assert migrations.differences() == []


def test_the_doctor_names_a_function_in_one_sentence() -> None:
    run(FAULTS["emptied"][0])
    says = CliRunner().invoke(app, ["doctor", "--json"]).stdout
    schema = next(check for check in json.loads(says) if check["check"] == "schema")
    expected = "function deliver_events_v1 is not what its file says: run `headrace migrate`"
    assert schema == {"check": "schema", "ok": False, "says": expected}


def test_a_second_function_of_a_name_is_found_and_refused() -> None:
    run("create function end_job_v1(p_x int) returns void language plpgsql as $$ begin null; end $$")
    assert migrations.differences() == [Difference("end_job_v1", "is there 2 times")]
    with pytest.raises(SignatureChanged, match=re.escape("end_job_v1(integer)")):
        migrations.upgrade()


def test_a_downgrade_gives_the_functions_of_its_revision_back(releases: Releases) -> None:
    newest = there()
    releases.file("end_job_v9", with_column("end_job_v1", "end_job_v9"))
    releases.migration(new=("end_job_v9",))
    after = releases.migration(deploy="post", retires=("end_job_v1",))
    migrations.upgrade()
    assert "end_job_v1" not in there()
    migrations.downgrade(f"{int(after) - 1:04}")
    assert there() == sorted([*newest, "end_job_v9"])
    migrations.downgrade(releases.head)
    assert there() == newest
    migrations.downgrade("0015")
    assert (
        set(there())
        == set(newest)
        - COUNTING
        - SINCE_0037
        - {
            "end_job_v5",
            "end_job_v6",
            "end_jobs_v1",
            "paused_now_v1",
            "dispatch_account_v2",
            "dispatch_account_v3",
            "write_end_v3",
            "lower_label_spending_v1",
        }
        - {"make_month_v1", "drop_month_v1", "detach_month_v1", "drop_detached_v1"}
        | UNVERSIONED
    )
    assert migrations.differences() != []  # the code is newer
    migrations.downgrade("-1")
    assert set(there()) == UNVERSIONED | BASE
    migrations.downgrade("0013")
    assert set(there()) == BASE
    migrations.downgrade()
    assert there() == []
    db.close()


def test_functions_without_a_version_are_gone_however_an_upgrade_had_left_them() -> None:
    migrations.downgrade("0014")
    db.close()
    run("create function end_job(p_account uuid) returns void language plpgsql as $$ begin null; end $$")
    run("drop function deliver_events")
    migrations.upgrade()
    assert migrations.differences() == []
    assert [name for name in there() if name in UNVERSIONED] == []


def test_every_function_has_one_file_and_one_revision_that_brings_it() -> None:
    files = list((ROOT / "models").rglob("*.sql"))
    assert len(files) == len(functions.FILES), "two files of one name"
    brought: list[str] = []
    for path in (ROOT / "models/schema/migrations/versions").glob("0*.py"):
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "functions"
            ):
                brought += ast.literal_eval(node.value)
    assert sorted(brought) == sorted(functions.FILES)


CALL = re.compile(r"\b(\w+_v\d+)\(")


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each call of a versioned function in a statement: its name, and the parameters that are named."""
    for found in CALL.finditer(text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inside = text[found.end() : end - 1]
        while "(" in inside:
            inside, _ = re.subn(r"\([^()]*\)", "", inside)
        yield (
            found[1],
            [part.partition("=>")[0].strip() if "=>" in part else "?" for part in inside.split(",") if inside.strip()],
        )


def statements() -> Iterator[str]:
    for package in ("api", "workers", "scheduler", "models", "cli"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and id(node) not in docs
                    and not GRANTS.match(node.value)
                ):
                    yield node.value


def test_calls_name_all_parameters_as_the_function_does() -> None:
    assert list(calls("select * from x_v1(p_a => f(1, 2), p_b => %(b)s)")) == [("x_v1", ["p_a", "p_b"])]
    assert list(calls("select x_v1(%s, p_b => %s)")) == [("x_v1", ["?", "p_b"])]
    known = dict(
        rows(
            """select proname, proargnames[1:pronargs] from pg_proc where proname ~ '_v[0-9]+$'
                  and pronamespace = current_schema()::regnamespace"""
        )
    )
    found = [call for text in statements() for call in calls(text)]
    assert {name for name, _ in found} >= {"end_job_v6", "dispatch_account_v3", "deliver_events_v1"}
    for name, named in found:
        assert sorted(named) == sorted(known[name]), name


def test_python_calls_no_function_without_a_version() -> None:
    names = set(functions.FILES) - {name for name in functions.FILES if re.search(r"_v\d+$", name)}
    for text in statements():
        for name in names - BASE - COUNTING - SINCE_0037 - UNTIL_0030:
            assert not re.search(rf"\b{name}\(", text), text
