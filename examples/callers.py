"""Who asks the system: a program with its key, a person with their token."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import httpx

from examples.running import Difference, same

ENDED = ("succeeded", "failed", "canceled")
JOB_SECONDS = 120.0


class Heard(NamedTuple):
    """A server-sent event; `job_id` where it is about a job."""

    kind: str
    job_id: str | None
    data: dict[str, Any]


class Caller:
    """A client of the API with its token; `headers` go with every request."""

    def __init__(self, client: httpx.Client, token: str, **headers: str) -> None:
        self._client, self._token = client, token
        self._headers = {"authorization": f"Bearer {token}", **headers}

    def acting_for(self, account: str, *, create: bool = False) -> Self:
        """The same program, acting for a user: by our id, `clerk:USER`, or `email:ADDRESS`. `create` opens who is new."""
        headers = {"Headrace-Account": account, **({"Headrace-Create": "true"} if create else {})}
        return type(self)(self._client, self._token, **headers)

    def ask(self, method: str, path: str, *, status: int = 200, once: str | None = None, **sent: Any) -> Any:
        """Send a request, and read its answer. `once` is its Idempotency-Key. Raises Difference for another status."""
        headers = {**self._headers, **sent.pop("headers", {}), **({"Idempotency-Key": once} if once else {})}
        answer = self._client.request(method, path, headers=headers, **sent)
        same(answer.status_code, status, f"the status of {method} {path} ({answer.text[:300]})")
        return answer.json() if answer.content else None

    def status(self, method: str, path: str) -> int:
        """How a request is answered."""
        return self._client.request(method, path, headers=self._headers).status_code

    def refused(self, method: str, path: str, status: int, code: str, **sent: Any) -> dict[str, Any]:
        """Send a request that must be refused so. Returns the problem document."""
        problem: dict[str, Any] = self.ask(method, path, status=status, **sent)
        same(problem["code"], code, f"the code with which {method} {path} is refused")
        return problem

    def order(self, model: str, once: str | None = None, **values: Any) -> dict[str, Any]:
        """Order a job."""
        job: dict[str, Any] = self.ask(
            "POST", "/v1/jobs", status=201, once=once, json={"model": model, "input": values}
        )
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        """A job once it has ended: the system waits with its answer, so nobody asks again and again."""
        end = time.monotonic() + JOB_SECONDS
        while time.monotonic() < end:
            job: dict[str, Any] = self.ask("GET", f"/v1/jobs/{job_id}", headers={"Prefer": "wait=20"})
            if job["status"] in ENDED:
                return job
        raise Difference(f"job {job_id} has not ended after {JOB_SECONDS:g} s")

    @contextmanager
    def listen(self, path: str) -> Iterator[Iterator[Heard]]:
        """The events of a stream, as they come."""
        headers = {**self._headers, "accept": "text/event-stream"}
        with self._client.stream("GET", path, headers=headers) as answer:
            same(answer.status_code, 200, f"the status of the stream {path}")
            yield _heard(answer.iter_lines())


def _heard(lines: Iterable[str]) -> Iterator[Heard]:
    """Server-sent events out of their lines: `event:` and `data:`, ended by an empty one; what begins with a colon is a sign of
    life.
    """
    end = time.monotonic() + JOB_SECONDS
    kind, data = "", ""
    for line in lines:
        if time.monotonic() > end:
            raise Difference(f"the stream told nothing more of what was waited for in {JOB_SECONDS:g} s")
        field, _, value = line.partition(":")
        if field == "event":
            kind = value.strip()
        elif field == "data":
            data += value
        elif not line and data:
            told = json.loads(data)
            yield Heard(kind, told["job_id"], told["data"])
            kind, data = "", ""
