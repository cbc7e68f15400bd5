"""`headrace catalogue`: compare, apply, show, versions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.commands import catalogue
from cli.main import app
from models.catalogue.entries import STANDARD_FILE
from models.catalogue.providers import providers
from models.db import transaction
from tests.support import account, one, placed, rows
from tests.support import model as made

PROVIDER = """
[providers.openai]
adapter = "openai"
base_url = "https://api.openai.com/v1"
key = "HEADRACE_TEST_KEY"
concurrency = 4
"""


def run(*arguments: str, status: int = 0) -> Any:
    done = CliRunner().invoke(app, ["catalogue", *arguments, "--json"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def words(*arguments: str, status: int = 0, answer: str | None = None) -> str:
    done = CliRunner().invoke(app, ["catalogue", *arguments], input=answer, env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture
def changed(database: str, tmp_path: Path) -> str:
    """The standard file with one price and a provider more."""
    path = tmp_path / "c.toml"
    path.write_text(PROVIDER + STANDARD_FILE.read_text().replace("credits = 5 }", "credits = 6 }"))
    return str(path)


PRICE = {"field": "price.credits", "before": 5, "after": 6}
CHANGES = [
    {"section": "providers", "name": "openai", "change": "new", "fields": []},
    {"section": "models", "name": "dall-e-3", "change": "changed", "fields": [PRICE]},
]


def test_the_difference_is_shown_and_applied_once(changed: str) -> None:
    assert run("apply", changed, "--dry-run") == {"changes": CHANGES, "applied": False}
    assert run("apply", changed, "--yes") == {"changes": CHANGES, "applied": True}
    assert run("apply", changed, "--yes") == {"changes": [], "applied": False}
    assert rows("select version, current from models where id = 'dall-e-3' order by 1") == [(1, False), (2, True)]
    with transaction() as conn:
        assert providers(conn)["openai"].limits.concurrency == 4
    assert words("apply", changed).strip() == "no change"


def test_without_a_terminal_nothing_is_asked(changed: str) -> None:
    text = words("apply", changed)
    assert all(word in text for word in ("price.credits", "new provider openai", "applied"))
    assert run("show", "dall-e-3")["models"][0]["price"]["credits"] == 6


def test_at_a_terminal_a_no_changes_nothing_and_a_yes_applies(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_at_terminal", lambda: True)
    assert "not applied" in words("apply", changed, answer="n\n")
    assert run("show", "dall-e-3")["models"][0]["version"] == 1
    assert "not applied" not in words("apply", changed, answer="y\n")
    assert run("show", "dall-e-3")["models"][0]["version"] == 2


def test_what_changes_while_a_person_thinks_is_not_overwritten(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def think() -> bool:
        with transaction() as conn:
            conn.execute("update models set current = false where id = 'dall-e-2'")
        return False

    monkeypatch.setattr(catalogue, "_at_terminal", think)
    assert "changed meanwhile" in words("apply", changed, status=1)
    assert run("show", "dall-e-3")["models"][0]["version"] == 1


def test_a_bad_file_names_the_model_and_the_field(database: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[models.x]\nname="x"\nkind="image"\nroutes=[]\n[providers.p]\nadapter="http"\nkey="sk-123"\n')
    refused = words("apply", str(path), status=1)
    assert "models.x.price: is missing" in refused
    assert "providers.p.key" in refused
    assert "sk-123" not in refused
    assert "was not loaded" in words("apply", str(tmp_path / "none.toml"), status=1)


@pytest.mark.usefixtures("database")
def test_models_that_left_the_file_are_retired_only_if_asked() -> None:
    made("extra")
    assert run("apply", "--yes")["changes"] == []
    gone = run("apply", "--yes", "--retire-missing")["changes"]
    assert gone == [{"section": "models", "name": "extra", "change": "retired", "fields": []}]
    assert "no current model extra" in words("show", "extra", status=1)


def test_the_current_catalogue_is_shown_without_any_key(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TEST_KEY", "s3cret")
    run("apply", changed, "--yes")
    shown = run("show")
    assert {"sketch-image", "dall-e-3"} <= {each["id"] for each in shown["models"]}
    assert {each["provider"]: each["key_is_set"] for each in shown["providers"]} == {"sketch": None, "openai": True}
    text = words("show")
    assert "6 credits per image" in text
    assert "$0.04 + markup per second" in text
    assert "1 credit per 2 seconds" in text
    assert "s3cret" not in text + json.dumps(shown)
    assert [each["provider"] for each in run("show", "dall-e-3")["providers"]] == ["sketch"]
    whole = "".join(re.split(r"[│\s]+", words("show", "sketch-speech")))
    assert '"^[a-z]{2,3}(-' in whole  # brackets are not taken for colours


@pytest.mark.usefixtures("database")
def test_parts_that_a_file_switches_are_compared_asked_about_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('features = ["content"]\n' + STANDARD_FILE.read_text())
    assert "off feature gallery" in words("apply", str(path), "--dry-run")
    assert set(run("show")["features"].values()) == {True}
    changes = run("apply", str(path), "--yes")["changes"]
    assert {"section": "features", "name": "learning", "change": "off", "fields": []} in changes
    assert {name for name, is_on in run("show")["features"].items() if is_on} == {"content"}
    assert re.search(r"playground\W+off", words("show"))
    assert words("apply", str(path)).strip() == "no change"
    assert words("apply").strip() == "no change", "a file that does not say leaves them"
    path.write_text('features = ["contents"]\n' + STANDARD_FILE.read_text())
    assert "features.contents: unknown; there are gallery," in words("apply", str(path), status=1)


def test_versions_tell_what_each_changed_and_jobs_keep_theirs(changed: str) -> None:
    offer = made("mine", price={"credits": 1})
    job = placed(account(amount=5), offer)
    made("mine", price={"credits": 2}, max_attempts=7)
    first, second = run("versions", "mine")
    assert (first["version"], first["current"], first["fields"]) == (1, False, [])
    assert second["fields"] == [
        {"field": "price.credits", "before": 1, "after": 2},
        {"field": "max_attempts", "before": 3, "after": 7},
    ]
    assert one("select model_version from jobs where id = %s", job) == (1,)
    assert "price.credits: 1 → 2" in words("versions", "mine")
    assert "never a model" in words("versions", "nobody", status=1)
