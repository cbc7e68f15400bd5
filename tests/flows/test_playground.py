"""Sessions and summaries through real processes: waited for, kept, and unharmed by a killed worker."""

from uuid import UUID

from models.access import api_keys
from models.db import transaction
from tests.support import System, account, assert_books_are_clean, eventually, model, one

SESSIONS = "/v1/playground/sessions"
SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["prompt"],
    "properties": {"prompt": {"type": "string"}, "system": {"type": "string"}},
}  # fmt: skip
PRICE = {"unit": "token", "credits": 1, "per": 100, "estimate_field": "prompt"}
ARTICLE = (
    "The mill of the valley is a hundred years old. Its wheel was made of oak by two brothers. The brothers also made the wheel "
    "of the saw mill. Last week the wheel of the mill broke in a flood. The owners of the mill want a wheel of steel now. "
    "Neighbours ask for a wheel of oak, like the one that the brothers made. The council decides on the wheel in May."
)


def slow(name: str) -> None:
    route = {"provider": "sketch", "model": "text", "options": {"delay_seconds": 2.0}}
    model(name, kind="text", input_schema=SCHEMA, price=PRICE, routes=[route])


def test_a_session_and_a_summary_are_waited_for_and_kept(system: System) -> None:
    """With nothing but what is built in."""
    house, boss = account(amount=100, plan="enterprise"), account(amount=10)
    one("update users set role = 'editor' where id = (select user_id from accounts where id = %s) returning true", boss)
    system.start("api", "worker", "scheduler", api={"HOUSE_ACCOUNT": str(house)})
    with system.client(boss) as http:
        waiting = {"prefer": "wait=30"}
        saved = http.post(SESSIONS, json={"model": "sketch-text", "prompt": "What is a mill?"}, headers=waiting)
        assert saved.headers["preference-applied"] == "wait=30"
        assert (saved.json()["status"], saved.json()["credits"]) == ("succeeded", 1)
        assert "mill" in saved.json()["response"]
        http.headers["authorization"] = f"Bearer {editors_key(boss)}"
        summed = http.post("/v1/summaries", json={"kind": "paper", "text": ARTICLE}, headers=waiting)
        assert summed.headers["preference-applied"] == "wait=30"
        body = summed.json()
        assert (body["status"], body["error"], body["credits"] > 0) == ("succeeded", None, True)
        assert "wheel" in body["paragraph"]
        assert body["implications"]
        assert one("select available from accounts where id = %s", house) == (100 - body["credits"],)
    assert_books_are_clean()


def editors_key(boss: UUID) -> str:
    with transaction() as conn:
        return api_keys.create(conn, boss, api_keys.NewKey("edits", scopes=("edit",)))[1]


def test_a_worker_killed_in_the_middle_costs_no_session_its_response(system: System) -> None:
    slow("slow-writer")
    who = account(amount=20)
    lease = {"LEASE_SECONDS": "2"}
    system.start("api", "worker", "scheduler", worker=lease, scheduler=lease)
    with system.client(who) as http:
        made = http.post(SESSIONS, json={"model": "slow-writer", "prompt": ARTICLE}).json()
        eventually(lambda: http.get(f"{SESSIONS}/{made['id']}").json()["status"] == "running", what="its beginning")
        system.processes.kill("worker")
        system.start("worker", worker=lease)
        # Nobody looks at it: the scheduler keeps what it has brought.
        eventually(
            lambda: one("select count(*) from kept_texts where state = 'kept'") == (1,), seconds=60, what="its text"
        )
        found = http.get(f"{SESSIONS}/{made['id']}").json()
        assert (found["status"], "wheel" in found["response"]) == ("succeeded", True)
    assert_books_are_clean()
