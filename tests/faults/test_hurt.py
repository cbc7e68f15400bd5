"""S3 hurts, shortens or loses what a worker puts: the job waits with what it has, and ends with the right bytes."""

import hashlib

import httpx
import pytest

from cli.embedded.servers import Addresses
from tests.storage.between import between_us_and
from tests.support import System, account, assert_books_are_clean, ended, eventually, model, one

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.mark.parametrize("wrong", ["hurt", "short", "lost"])
def test_a_result_and_its_thumbnail_are_what_was_made(system: System, stack: Addresses, wrong: str) -> None:
    with between_us_and(stack.s3_endpoint_url) as line:
        line.be(wrong)
        offer = model(options={"instant": False})
        system.start("api", "worker", "scheduler", worker={"S3_ENDPOINT_URL": line.url})
        with system.client(account(amount=5)) as client:
            made = client.post(
                "/v1/jobs", json={"model": offer.entry.id, "input": {"width": 1024, "height": 1024}}
            ).json()
            eventually(lambda: [method for method, _ in line.asked].count("PUT") >= 2, what="a second put")
            assert client.get(f"/v1/jobs/{made['id']}").json()["status"] == "running"
            line.be("")
            job = ended(client, made["id"])
        assert job["status"] == "succeeded"
        assert one("select count(*) from attempts")[0] == 1, "and was not made twice"
        (result,) = job["outputs"]
        content = httpx.get(result["url"]).content
        assert hashlib.sha256(content).digest() == bytes(one("select sha256 from assets")[0])
        thumbnail = httpx.get(result["thumbnail_url"])
        assert len(thumbnail.content) == one("select thumbnail_bytes from assets")[0]
        assert_books_are_clean()
        system.stop()
