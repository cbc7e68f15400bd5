"""One job, read in every dialect at each state that it can stand in: they say the same of it, and its credits come out even."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from api.main import make_app
from models.db import transaction
from models.jobs import cancel
from models.jobs.ending import Ending, NewAsset, end
from models.jobs.steps import Claim
from scheduler.duties.results import expire_results
from tests.models.hands import change
from tests.models.jobs.standing import accepted, begun, delivered, parked_job, requeued
from tests.support import account, assert_books_are_clean, balance, key_of, model, placed, rows

pytestmark = [
    pytest.mark.usefixtures("database"),
    # Starlette's test client still uses what AnyIO and httpx are about to rename.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
FILM = {"kind": "video", "price": {"credits": 3}}


@pytest.fixture
def http(database: str) -> Iterator[TestClient]:
    """An API in this process; nobody works."""
    model(**FILM)
    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client
    assert_books_are_clean()


def finished(claim: Claim, ending: Ending) -> Claim:
    with transaction() as conn:
        assert end(conn, claim.account_id, claim.job_id, ending, token=claim.token) is not None
    return claim


def succeeded(claim: Claim) -> Claim:
    film = NewAsset(uuid4(), 0, "results/film", "video/mp4", 10, b"0" * 32, width=64, height=48)
    return finished(claim, Ending("succeeded", cost_credits=2, assets=[film]))


def failed(claim: Claim) -> Claim:
    return finished(claim, Ending("failed", error_code="moderated", error_message="this is not shown"))


def asked_to_stop(claim: Claim) -> Claim:
    with transaction() as conn:
        cancel.cancel(conn, claim.job_id)
    return claim


def without_results(claim: Claim) -> Claim:
    succeeded(claim)
    change("update assets set expires_at = app_now() - interval '1 second' where job_id = %s", claim.job_id)
    expire_results(10)
    return claim


class Stand(NamedTuple):
    """What each dialect is to say of a state, and what is charged and still held in it."""

    reach: Callable[[UUID], UUID]
    native: str
    replicate: str
    fal: str
    openai: str
    charged: int
    held: int
    error: str | None = None  # as fal names it


def of(step: Callable[[Claim], Claim]) -> Callable[[UUID], UUID]:
    """Reached from a job that was claimed and whose first attempt is written down."""
    return lambda who: step(begun(who, **FILM)).job_id


def same(claim: Claim) -> Claim:
    return claim


def called_off(who: UUID) -> UUID:
    job_id = placed(who, model(**FILM))
    with transaction() as conn:
        cancel.cancel(conn, job_id)
    return job_id


QUEUED = ("queued", "starting", "IN_QUEUE", "queued", 0, 3)
RUNNING = ("running", "processing", "IN_PROGRESS", "in_progress", 0, 3)
STANDS = {
    "ordered": Stand(lambda who: placed(who, model(**FILM)), *QUEUED),
    "put back": Stand(of(requeued), *QUEUED),
    "begun": Stand(of(same), *RUNNING),
    "accepted": Stand(of(accepted), *RUNNING),
    "its answer lost": Stand(of(parked_job), *RUNNING),
    "its result not ours yet": Stand(of(delivered), *RUNNING),
    "asked to stop": Stand(of(asked_to_stop), *RUNNING),
    "succeeded": Stand(of(succeeded), "succeeded", "succeeded", "COMPLETED", "completed", 2, 0),
    "its results gone": Stand(of(without_results), "succeeded", "succeeded", "COMPLETED", "completed", 2, 0, "result_gone"),
    "failed": Stand(of(failed), "failed", "failed", "COMPLETED", "failed", 0, 0, "content_policy_violation"),
    "called off": Stand(called_off, "canceled", "canceled", "COMPLETED", "failed", 0, 0, "client_cancelled"),
}  # fmt: skip


@pytest.mark.parametrize("state", STANDS)
def test_every_dialect_says_the_same_of_a_job(http: TestClient, state: str) -> None:
    stand, who = STANDS[state], account(amount=50)
    job_id = stand.reach(who)
    bearer = {"authorization": f"Bearer {key_of(who)}"}

    def read(path: str, status: int = 200, **head: str) -> Any:
        answer = http.get(path, headers={**bearer, **head})
        assert answer.status_code == status, (path, answer.text)
        return answer.json()

    native = read(f"/v1/jobs/{job_id}")
    prediction = read(f"/compat/replicate/v1/predictions/{job_id}")
    request = f"/compat/fal/queue/headrace/test-model/requests/{job_id}"
    key = {"authorization": bearer["authorization"].replace("Bearer", "Key")}
    queue = read(f"{request}/status", 202 if stand.fal != "COMPLETED" else 200, **key)
    video = read(f"/compat/openai/v1/videos/{one_video(http, bearer)}")
    agent = asked_by_agent(http, bearer, job_id)

    assert (native["status"], agent["status"]) == (stand.native, stand.native)
    assert (prediction["status"], queue["status"], video["status"]) == (stand.replicate, stand.fal, stand.openai)
    assert queue.get("error_type") == stand.error
    urls = [each["url"] for each in native["outputs"] if stand.error is None]  # ours names what is gone as well
    assert [each["url"] for each in agent.get("outputs", [])] == urls
    made = prediction["output"]
    assert ([made] if isinstance(made, str) else made or []) == urls
    if stand.fal == "COMPLETED":
        result = http.get(request, headers=key)
        assert result.is_success == (stand.error is None)
        if result.is_success:
            assert [result.json()["video"]["url"]] == urls
    if stand.native == "failed":
        said = native["error"]["message"]
        assert {prediction["error"], queue["error"], video["error"]["message"], agent["error"]["message"]} == {said}
    ended = stand.native in {"succeeded", "failed", "canceled"}
    assert [each is not None for each in (native["ended_at"], prediction["completed_at"])] == [ended, ended]
    assert balance(who) == (50 - stand.charged - stand.held, stand.held)
    moved = dict(rows("select kind, amount from ledger_entries where job_id = %s", job_id))
    still_held = moved["reserve"] - moved.get("settle", 0) - moved.get("refund", 0)
    assert (still_held, moved.get("settle", 0)) == (stand.held, stand.charged)


def one_video(http: TestClient, bearer: dict[str, str]) -> str:
    """The name by which OpenAI's programs know the account's one video."""
    [found] = http.get("/compat/openai/v1/videos", headers=bearer).json()["data"]
    return str(found["id"])


def asked_by_agent(http: TestClient, bearer: dict[str, str], job_id: UUID) -> dict[str, Any]:
    """What the tool for one job says."""
    call = {"name": "get_job", "arguments": {"job": str(job_id)}}
    answer = http.post(
        "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call},
        headers={**bearer, "accept": "application/json, text/event-stream"},
    )  # fmt: skip
    assert answer.is_success, answer.text
    [event] = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    found: dict[str, Any] = json.loads(event.removeprefix("data: "))["result"]["structuredContent"]
    return found
