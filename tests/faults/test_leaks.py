"""What leaves: a provider's own words reach the operator, and no customer, by whatever way he asks."""

from pathlib import Path

import pytest

from models.db import transaction
from models.events import endpoints
from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.book import Book
from tests.far_side.faults import Faults
from tests.far_side.openai import OpenAIFarSide
from tests.listening import Listening
from tests.receivers import Receiver, receivers
from tests.support import System, account, ended, eventually, rows

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

MARKS = ("sk-Marked", "org-Marked", "inner-marked", "10.99.88.77", "marked@operator")
WORDS = (
    "Incorrect API key provided: sk-MarkedAbcdefgh1234 (org-MarkedOrganisation). See http://inner-marked:8000/v1 or "
    "10.99.88.77, or write to marked@operator.example"
)
STATUSES = (400, 401, 402, 403, 404, 422, 429, 500)


def test_no_way_to_a_job_tells_what_its_provider_said_of_our_key(system: System, tmp_path: Path) -> None:
    painter = OpenAIFarSide(Book(tmp_path / "painter.db"))
    with environment({deployment.KEY_VARIABLE: deployment.KEY}), painter.running(), receivers(1) as [there]:
        system.start("api", "worker", "scheduler", "deliver")
        for status in STATUSES:  # one each: a fault of one must not rest the others
            deployment.provider(f"painter-{status}", "openai", painter.url)
            deployment.routed(f"m-{status}", {"provider": f"painter-{status}", "model": f"m-{status}"}, max_attempts=2)
            painter.faults = Faults()
            painter.faults.add("error", status=status, path="/images", times=9, body={"error": {"message": WORDS}})
            heard = _heard(system, there, status)
            assert not [mark for mark in MARKS if mark.lower() in heard.lower()], f"{status}: {heard}"
        told = rows("select 1 from attempts where position('inner-marked' in error_message) > 0")
        assert len(told) >= len(STATUSES), "the operator has the words"
        log = system.processes.log("worker").read_text()
        assert "unauthorized: Incorrect API key provided" in log
        assert "sk-Marked" not in log
        system.stop()


def _heard(system: System, there: Receiver, status: int) -> str:
    """All that a customer can hear of such a job."""
    who = account(amount=10)
    with transaction() as conn:
        endpoints.create(conn, who, there.url, [])
    with system.client(who) as http:
        headers = {"authorization": http.headers["authorization"]}
        with Listening(f"{system.url}/v1/events", headers) as stream:
            eventually(lambda: http.get(f"/v1/models/m-{status}").status_code == 200, what="the model")
            made = http.post("/v1/jobs", json={"model": f"m-{status}", "input": {}}, headers={"prefer": "wait=5"})
            job = made.json()["id"]
            seen = [made.text]
            if status != 429:
                ended(http, job)
                eventually(lambda: any(frame["event"] == "job.failed" for frame in stream.frames), what="the event")
                eventually(lambda: any(job in str(got.told) and got.told["type"] == "job.failed" for got in there.got),
                           what="the webhook")  # fmt: skip
            else:
                eventually(lambda: http.get(f"/v1/jobs/{job}").json()["waiting"]["reason"] is not None, what="the wait")
            paths = (
                f"/v1/jobs/{job}", "/v1/jobs", "/v1/events?after=0", "/v1/notifications", "/v1/credits/entries",
                "/v1/webhooks/default/deliveries", f"/v1/jobs/{job}/events?after=0",
            )  # fmt: skip
            seen += [http.get(path).text for path in paths if "/events?" not in path or status != 429]
            http.post(f"/v1/jobs/{job}/cancel")
        seen += [str(stream.frames), *(got.body.decode() for got in there.got)]
        return "\n".join(seen)
