"""A revoked key is refused by every API process within five seconds."""

import time

import httpx

from cli.embedded.servers import free_ports
from models.access import api_keys
from models.db import transaction
from tests.support import System, account, eventually


def test_a_revoked_key_is_refused_everywhere_within_five_seconds(system: System) -> None:
    who = account()
    with transaction() as conn:
        key_id, secret = api_keys.create(conn, who, api_keys.NewKey("lost"))
    port = free_ports(1)[0]
    urls = [system.url, f"http://127.0.0.1:{port}"]
    system.start("api")
    system.processes.start_one("api", {"API_PORT": str(port)}, number=2)
    head = {"authorization": f"Bearer {secret}"}

    def status(url: str) -> int:
        try:
            return httpx.get(f"{url}/v1/credits", headers=head).status_code
        except httpx.TransportError:
            return 0

    eventually(lambda: [status(url) for url in urls] == [200, 200], what="both processes")
    with transaction() as conn:
        api_keys.revoke(conn, key_id)
    revoked = time.monotonic()
    eventually(lambda: [status(url) for url in urls] == [401, 401], seconds=5, what="the refusal")
    assert time.monotonic() - revoked < 5
