"""CineWeave's films: jobs, their results, and what is seen of them as it happens (A3, A4, A7)."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from examples.cineweave.server import Server
from examples.running import eventually, fulfilled, same

MODEL = "sketch-video"
# What CineWeave calls a job's states.
THEIRS = {"queued": "queued", "running": "running", "succeeded": "done", "failed": "failed", "canceled": "failed"}


class Films:
    """The films of one user."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._order = uuid.uuid4().hex  # CineWeave's own id of the order
        self._wanted = {"prompt": "a harbour at dawn", "duration_seconds": 5, "seed": 7, "cfg": 6.5}
        self._jobs: list[str] = []
        self._film: dict[str, Any] = {}

    def _create(self, once: str | None = None, **values: Any) -> dict[str, Any]:
        return self._server.user.order(MODEL, once, **values)

    def create(self) -> None:
        job = self._create(self._order, **self._wanted)
        fulfilled(THEIRS[job["status"]] in ("queued", "running"), f"a new job is {job['status']}")
        same(job["input"], self._wanted, "the job's input")
        same(self._create(self._order, **self._wanted)["id"], job["id"], "the job of the same order sent again")
        fulfilled(job["credits"]["reserved"] > 0, "nothing is reserved for it")
        self._jobs.append(job["id"])

    def get(self) -> None:
        film = self._film = self._server.user.ended(self._jobs[0])
        same((THEIRS[film["status"]], film["error"]), ("done", None), "how the film ended, and its error")
        cost = film["credits"]["charged"]
        same(cost, film["credits"]["reserved"], "the credits used")
        self._server.credits -= cost
        self._server.have(self._server.credits, 0, "after the film")
        (output,) = film["outputs"]
        same((output["media_type"], output["duration_seconds"]), ("video/mp4", 5.0), "what was made")
        answer = self._server.fetch(output["url"])
        same((answer.status_code, len(answer.content)), (200, output["size_bytes"]), "status and size of the film")

    def begin_with_a_picture(self) -> None:
        user = self._server.user
        picture = user.ended(user.order("sketch-image", prompt="a lighthouse", width=256, height=256)["id"])
        content = self._server.fetch(picture["outputs"][0]["url"]).content
        uploaded = user.ask("POST", "/v1/files", status=201, files={"file": ("lighthouse.png", content, "image/png")})
        # In place of the id an address on the web does as well, or a data: URI.
        job = self._create(prompt="the light turns", image=uploaded["id"])
        done = user.ended(job["id"])
        same((done["status"], done["input"]["image"]), ("succeeded", uploaded["id"]), "how it ended, and its picture")
        self._server.credits -= picture["credits"]["charged"] + done["credits"]["charged"]
        self._jobs += [picture["id"], job["id"]]

    def fail(self) -> None:
        job = self._server.user.order("sketch-broken", prompt="what cannot be drawn")
        self._jobs.append(job["id"])
        done = self._server.user.ended(job["id"])
        same(THEIRS[done["status"]], "failed", "how it ended")
        same((done["credits"]["charged"], done["error"]["code"]), (0, "sketch_permanent"), "what it cost, and why")
        self._server.have(self._server.credits, 0, "after the job that failed")

    def list_newest_first(self) -> None:
        found, cursor = [], None
        while True:
            page = self._server.user.ask(
                "GET", "/v1/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}
            )
            found += [each["id"] for each in page["data"]]
            if (cursor := page["next"]) is None:
                break
        same(found, self._jobs[::-1], "the user's jobs, newest first")
        failed = self._server.user.ask("GET", "/v1/jobs", params={"status": "failed"})["data"]
        same([each["id"] for each in failed], [self._jobs[-1]], "those that failed")

    def look_at_expiry(self) -> None:
        (output,) = self._film["outputs"]
        ends, ended = (datetime.fromisoformat(text) for text in (output["expires_at"], self._film["ended_at"]))
        same(ends - ended, timedelta(hours=24), "from a job's end to its result's")

    def find_expired(self) -> None:
        answer = self._server.fetch(self._film["outputs"][0]["url"])
        same(
            (answer.status_code, answer.json()["reason"]), (410, "expired"), "how an expired film is answered, and why"
        )
        path = f"/v1/jobs/{self._film['id']}"
        eventually(
            lambda: self._server.user.ask("GET", path)["outputs"][0]["status"], "expired", "what its job says of it"
        )
        eventually(lambda: self._server.balance()["storage_bytes"], 0, "the bytes that the user's files take")

    def watch(self) -> None:
        server = self._server
        before = server.balance()
        with server.user.listen("/v1/events") as events:
            first = next(events)
            same((first.kind, first.data["available"]), ("balance", before["available"]), "what the stream begins with")
            job = self._create(prompt="a storm")
            seen = []
            for each in events:
                if each.job_id == job["id"] and each.kind in ("job.queued", "job.output", "job.succeeded"):
                    seen.append((each.kind, each.data.get("available")))
                if each.kind == "job.succeeded":
                    break
        left = before["available"] - job["credits"]["reserved"]
        wanted = [("job.queued", left), ("job.output", None), ("job.succeeded", left)]
        same(seen, wanted, "what was heard of the job, with the balance")

    def follow(self) -> None:
        job = self._create(prompt="calm again")
        with self._server.user.listen(f"/v1/jobs/{job['id']}/events") as events:
            heard = list(events)  # the stream ends with the job
        same((heard[0].kind, heard[0].job_id), ("job", job["id"]), "what the stream begins with")
        same(heard[-1].kind, "job.succeeded", "what it ends with")

    def repeat_otherwise(self) -> None:
        wanted = {"model": MODEL, "input": {**self._wanted, "seed": 8}}
        headers = {"Idempotency-Key": self._order}
        self._server.user.refused("POST", "/v1/jobs", 422, "idempotency_mismatch", json=wanted, headers=headers)

    def order_nonsense(self) -> None:
        before = self._server.balance()
        for field, value in (
            ("duration_seconds", 7),
            ("cfg", 99),
            ("seed", -1),
            ("prompt", ""),
            ("image", "no picture"),
        ):
            wanted = {"model": MODEL, "input": {**self._wanted, field: value}}
            no = self._server.user.refused("POST", "/v1/jobs", 422, "invalid_input", json=wanted)
            fulfilled(field in no["param"], f"{field} = {value!r} was refused for {no['param']}")
        wanted = {"model": "no-such-model", "input": {}}
        self._server.user.refused("POST", "/v1/jobs", 404, "unknown_model", json=wanted)
        same(self._server.balance(), before, "the balance after all of them")
