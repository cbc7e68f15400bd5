"""A job whose input is not kept any more, over HTTP: looked at, listed, told of; not ordered again."""

import pytest
from fastapi.testclient import TestClient

from api.main import make_app
from models.db import transaction
from models.events import endpoints
from models.jobs.ending import Ending, end
from models.operations import forgetting
from tests.support import account, claimed, key_of, model, placed, rows

pytestmark = pytest.mark.usefixtures("database")


def test_it_says_since_when_and_a_retry_is_refused_for_good() -> None:
    who = account(amount=9)
    with transaction() as conn:
        hook = endpoints.create(conn, who, "https://example.com/hook", [])[0].id
    job_id = placed(who, model(), {"prompt": "a secret"})
    claim = claimed(job_id)
    with transaction() as conn:
        end(
            conn,
            who,
            job_id,
            Ending("failed", error_code="invalid_input", error_message="input.prompt: a secret"),
            token=claim.token,
        )
        forgetting.erase_texts(conn, [job_id])
    with TestClient(make_app(), headers={"authorization": f"Bearer {key_of(who)}"}) as http:
        seen = http.get(f"/v1/jobs/{job_id}").json()
        assert (seen["status"], seen["input"], seen["error"]["code"]) == ("failed", {}, "invalid_input")
        assert seen["input_erased_at"] is not None
        assert [each["id"] for each in http.get("/v1/jobs").json()["data"]] == [str(job_id)]
        for key in ({}, {"idempotency-key": "again"}):
            refused = http.post(f"/v1/jobs/{job_id}/retry", headers=key)
            assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (
                410,
                "input_erased",
                False,
            )
        told = http.get("/v1/events", params={"after": 0}).text + http.get(f"/v1/webhooks/{hook}/deliveries").text
        assert "invalid_input" in told
        assert "secret" not in told
    assert rows("select 1 from jobs where retry_of is not null") == []
