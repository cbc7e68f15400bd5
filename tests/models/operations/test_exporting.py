"""Nothing of a person is left out of their export, nothing of another is in it, and no secret is."""

from typing import Any
from uuid import UUID

import pytest

from common.errors import NotFound
from models.access import audit_log
from models.access.audit_log import By
from models.db import transaction
from models.events import endpoints
from models.operations import exporting
from models.operations.exporting import LEFT_OUT, SECTIONS
from models.playground import sessions
from models.playground.sessions import NewSession
from models.schema.tables import metadata
from tests.files import picture
from tests.models.gallery.things import collection, indexed, publish, result
from tests.support import account, key_of, model, one, placed, rows, uploaded


def exported(who: UUID) -> list[dict[str, Any]]:
    place, found = exporting.START, []
    with transaction() as conn:
        subject = exporting.find(conn, who)
        while place is not None:
            lines, place = exporting.next_lines(conn, subject, place)
            found += lines
    return found


def test_each_table_that_names_an_account_or_a_user_is_exported_or_has_a_reason() -> None:
    exported_tables = {section.source.split(" t")[0].split()[-1] for section in SECTIONS}
    naming = {
        table.name
        for table in metadata.tables.values()
        if {"account_id", "user_id"} & set(table.columns.keys()) or table.name == "users"
    }
    assert naming - exported_tables - set(LEFT_OUT) == set()
    assert set(LEFT_OUT) <= naming, "a reason for what is not there"
    assert not exported_tables & set(LEFT_OUT)
    assert exported_tables <= set(metadata.tables)


def test_no_column_that_opens_a_door_is_exported() -> None:
    doors = ("secret", "hash", "token", "salt", "own_key", "password")
    for section in SECTIONS:
        columns = metadata.tables[section.source.split(" t")[0].split()[-1]].columns.keys()
        shown = {each for each in columns if each not in section.hidden and any(door in each for door in doors)}
        assert shown <= {"labels_key", "tokens_in", "tokens_out", "tokens_used"}, section.name


def lived(name: str) -> tuple[UUID, str]:
    """Somebody of whom there is a row in most sections. Returns their account and their key."""
    who = account(amount=50, plan="studio")
    key = key_of(who)
    with transaction() as conn:
        endpoints.create(conn, who, f"https://example.com/{name}", [])
        conn.execute(
            "insert into provider_keys (account_id, provider, secret, hint) values (%s, 'openai', %s, '1234')",
            [who, b"sealed"],
        )
    uploaded(who, [picture(size=(64, 64 + len(name)))])
    placed(
        who,
        model(),
        {"prompt": f"a prompt of {name}"},
        webhook=endpoints.for_job(who, f"https://example.com/job-{name}", None),
    )
    item = result(who, f"a picture for {name}")
    text = result(who, f"a text for {name}", media="text/plain")
    indexed(item)
    publish(who, item)
    collection(who, item, name=f"Things of {name}")
    with transaction() as conn:
        sessions.create(
            conn, who, one("select job_id from assets where id = %s", text)[0], None, NewSession(title=f"Of {name}")
        )
        audit_log.record(conn, By("tester"), "account.look", str(who), reason=f"because of {name}")
    return who, key


@pytest.mark.usefixtures("database")
def test_all_of_theirs_is_in_it_once_and_nothing_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    (who, key), (other, _) = lived("alice"), lived("bertram")
    whole = exported(who)
    text = str(whole)
    for theirs in ("a prompt of", "a picture for", "a text for", "Things of", "Of", "because of", "example.com/job-"):
        assert f"{theirs}{'' if theirs.endswith('-') else ' '}alice" in text, theirs
    assert "bertram" not in text
    assert str(other) not in text
    assert key not in text
    assert "tester" not in text
    counted: dict[str, int] = {}
    for line in whole:
        counted[line["kind"]] = counted.get(line["kind"], 0) + 1
    for kind, table in {
        "jobs": "jobs",
        "events": "events",
        "ledger": "ledger_entries",
        "grants": "grants",
        "deliveries": "deliveries",
    }.items():
        assert counted[kind] == one(f"select count(*) from {table} where account_id = %s", who)[0] > 0, kind
    assert {"profile", "account", "keys", "results", "gallery", "collections", "collection_items", "uploads", "webhooks", "playground_sessions",
            "kept_texts", "provider_keys", "acts", "reservations", "usage"} - {"usage"} <= set(counted)  # fmt: skip
    monkeypatch.setattr(exporting, "MAX_ROWS", 2)  # every page is full, and nothing is skipped or said twice
    assert sorted(map(str, exported(who))) == sorted(map(str, whole))


@pytest.mark.usefixtures("database")
def test_what_was_sent_to_a_webhook_that_is_gone_is_in_it() -> None:
    who = account(amount=5)
    with transaction() as conn:
        gone = endpoints.create(conn, who, "https://example.com/gone", [])[0].id
    placed(who, model())
    with transaction() as conn:
        endpoints.remove(conn, who, gone)
    assert [each["data"]["endpoint_id"] for each in exported(who) if each["kind"] == "deliveries"] == [str(gone)]
    assert rows("select 1 from webhook_endpoints") == []


@pytest.mark.usefixtures("database")
def test_nobody_is_not_exported() -> None:
    with pytest.raises(NotFound), transaction() as conn:
        exporting.find(conn, UUID(int=5))
