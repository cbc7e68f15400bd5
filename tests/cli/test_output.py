"""Tables at the width of a window: no word is broken, no id is cut, and what has no room is named."""

import io
import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.main import app
from cli.output import console, fitting, show, spread
from tests.cli.commands.test_operate import run
from tests.support import account, key_of, model, placed

ENDS = {
    "┏": "┓",
    "┃": "┃",
    "┡": "┩",
    "│": "│",
    "├": "┤",
    "└": "┘",
}  # how a line of a table that is whole begins and ends
ID, OTHER = UUID(int=1), UUID(int=2)
JOBS = [
    {"job": ID, "account": OTHER, "status": "succeeded", "model": "sketch-image", "reserved": 1, "queue": "interactive"}
]


def shown(rows: list[dict[str, object]], width: int) -> list[str]:
    text = io.StringIO()
    show(rows, as_json=False, on=Console(file=text, width=width))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_table_at_80_columns() -> None:
    assert shown(JOBS, 80) == [
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━┓",
        "┃ job                                  ┃           ┃              ┃          ┃",
        "┃ account                              ┃ status    ┃ model        ┃ reserved ┃",
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━┩",
        f"│ {ID} │ succeeded │ sketch-image │        1 │",
        f"│ {OTHER} │           │              │          │",
        "└──────────────────────────────────────┴───────────┴──────────────┴──────────┘",
        "no room for queue: a wider window or --json has them",
    ]


def test_a_table_at_120_columns() -> None:
    lines = shown(JOBS, 120)
    assert not any("no room" in line for line in lines)
    assert any(str(ID) in line and "interactive" in line for line in lines)


QUEUES = [{
    "queue": "interactive", "depth": 0, "in_flight": 0, "waiting": 0, "delayed": 0, "reconciling": 0, "oldest_seconds": 0.0,
}]  # fmt: skip


def test_a_table_whose_names_need_two_lines_is_not_cut() -> None:
    assert shown(QUEUES, 80) == [
        "┏━━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━┳━━━━━━━━━━┓",
        "┃             ┃       ┃           ┃         ┃         ┃             ┃   oldest ┃",
        "┃ queue       ┃ depth ┃ in flight ┃ waiting ┃ delayed ┃ reconciling ┃  seconds ┃",
        "┡━━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━╇━━━━━━━━━━┩",
        "│ interactive │     0 │         0 │       0 │       0 │           0 │      0.0 │",
        "└─────────────┴───────┴───────────┴─────────┴─────────┴─────────────┴──────────┘",
    ]
    assert "oldest seconds" in shown(QUEUES, 120)[1]


def test_room_beyond_the_least_goes_to_those_that_lack_least() -> None:
    assert spread([5, 5, 5], [5, 40, 8], 30) == [5, 17, 8]
    assert spread([5, 5], [9, 9], 11) == [6, 5]
    assert spread([5, 5], [5, 7], 80) == [5, 7]


def test_what_is_in_a_cell_reads_as_text() -> None:
    lines = shown(
        [{"field": "kept", "value": True}, {"field": "of", "value": ["a", "b"]}, {"field": "x", "value": {"n": 1}}], 80
    )
    assert [line.split("│")[2].strip() for line in lines[3:-1]] == ["yes", "a, b", '{"n":1}']


@pytest.mark.usefixtures("database")
def test_a_key_stands_whole_on_a_line_of_its_own(width: int) -> None:
    done = CliRunner().invoke(app, ["keys", "-a", str(account()), "--name", "laptop"])
    assert console.width == width
    assert re.fullmatch(
        r"Keep the secret now: it is not shown again\nkey id  [0-9a-f-]{36}\nsecret  hr_\w{38}\n+", done.stdout
    ), done.stdout


def test_what_fits_stays_and_where_nothing_fits_each_field_has_a_line() -> None:
    assert fitting({"a": 5, "b": 5, "c": 5}, 25) == (["a", "b", "c"], [], [])
    assert fitting({"a": 5, "b": 5, "c": 5}, 24) == (["a", "b"], [], ["c"])
    assert fitting({"a": 5, "b": 36, "c": 5}, 50) == (["a", "c"], ["b"], [])
    assert fitting({"a": 90, "b": 5, "c": 5}, 80) is None
    key = "hr_" + "x" * 90
    assert f"secret  {key}" in shown([{"secret": key, "b": 1, "c": [2]}], 80)


@pytest.fixture(params=[80, 120])
def width(request: pytest.FixtureRequest) -> Iterator[int]:
    before = console.width
    console.width = request.param
    try:
        yield request.param
    finally:
        console.width = before


@pytest.mark.usefixtures("database")
def test_every_list_keeps_its_ids_whole_and_its_lines_within_the_window(width: int) -> None:
    who = account(amount=9)
    run("grant", "5", "-a", str(who), "--reason", "they waited for very long", "--ref", str(uuid4()))
    key_of(who)
    job = str(placed(who, model()))
    for command, whole in (
        (["jobs"], [job, str(who)]), (["users"], [str(who)]), (["keys", "-a", str(who)], []), (["acts"], [str(who)]),
        (["usage", "--by", "account,day,model"], []), (["queues"], []), (["catalogue", "show"], []), (["announce"], []),
        (["job", job], [job]), (["parked"], []),
    ):  # fmt: skip
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert max(map(len, done.stdout.splitlines())) <= width, done.stdout
        assert [
            line for line in done.stdout.splitlines() if line[:1] in ENDS and ENDS[line[0]] != line.rstrip()[-1]
        ] == []
        for each in whole:
            assert each in done.stdout, done.stdout
