"""`headrace margin`."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.commands.report import MAX_PICTURES, series
from cli.main import app
from models.credits.margin import MarginRow
from models.jobs.ending import Ending
from tests.models.credits.test_margin import done, ordered, tried
from tests.support import account, model


def run(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["margin", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture
def today(database: str) -> datetime:
    """Today and yesterday a job each: 4 and 8 credits at 12.5 cents, costing 20 cents and 2 dollars."""
    moment = datetime.now(UTC)
    who = account(amount=50)
    tried(ordered(who, model("a", price={"credits": 4}), moment), Ending("succeeded", cost_credits=4), done(1, 200_000))
    yesterday = moment - timedelta(days=1)
    tried(
        ordered(who, model("b", price={"credits": 8}), yesterday),
        Ending("succeeded", cost_credits=8),
        done(1, 2_000_000),
    )
    return moment


def test_the_report_as_json(today: datetime) -> None:
    def got(*arguments: str) -> Any:
        return json.loads(run(*arguments, "--json"))

    report = got("--days", "2")
    a, b = report["rows"]
    assert (a["model"], a["plan"], a["day"], a["credits"]) == ("a", "free", f"{today:%Y-%m-%d}", 4)
    assert (a["revenue_usd_micros"], a["cost_usd_micros"], a["margin_usd_micros"]) == (500_000, 200_000, 300_000)
    assert (a["margin_percent"], b["margin_usd_micros"], b["margin_percent"]) == (60.0, -1_000_000, -100.0)
    assert report["total"]["margin_usd_micros"] == -700_000
    assert report["total"]["jobs"] == 2
    assert [row["model"] for row in got("--days", "1")["rows"]] == ["a"]
    row = got("--by", "plan")["rows"][0]
    assert (row["plan"], row["jobs"], "model" in row, "day" in row) == ("free", 2, False, False)
    assert len(got("--by", "")["rows"]) == 1


def test_the_report_as_a_table_with_its_sum(today: datetime) -> None:
    text = run("--by", "model,day")
    assert "-$1.00" in text
    assert "$0.30" in text
    assert "all" in text
    assert "plan" not in text.replace("plans", "")
    assert "nobody knows" not in text
    tried(ordered(account(amount=9), model("c"), today), Ending("succeeded", cost_credits=1), done(1, None))
    assert "1 attempts may have cost something" in run("--by", "")


def test_the_picture(today: datetime, tmp_path: Path) -> None:
    path = tmp_path / "margin.png"
    run("--plot", str(path))
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 10  # something is drawn
    assert "could not be written" in run("--plot", str(tmp_path / "none" / "x.png"), status=1)


def test_without_jobs_there_is_a_sum_and_a_picture(database: str, tmp_path: Path) -> None:
    assert "$0.00" in run("--plot", str(tmp_path / "x.png"))
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_the_picture_has_every_day_and_the_lesser_models_together() -> None:
    since = date(2026, 3, 1)
    rows = [
        MarginRow(f"m{n}", None, since + timedelta(days=n % 3), 1, 1, 1, n, 0, n * 1_000_000, 500_000, 0)
        for n in range(1, 11)
    ]
    found = series(rows, since, 3)
    assert list(found) == ["m10", "m9", "m8", "m7", "m6", "m5", "m4", "others"]
    assert len(found) == MAX_PICTURES
    assert found["m10"] == [(0.0, 0.0, 0), (10.0, 0.5, 10), (0.0, 0.0, 0)]
    assert found["others"] == [(3.0, 0.5, 3), (1.0, 0.5, 1), (2.0, 0.5, 2)]
    assert series([], since, 3) == {}
