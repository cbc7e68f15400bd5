"""CineWeave's films: jobs, their results, and what is seen of them as it happens (A3, A4, A7)."""

import uuid
from datetime import timedelta
from typing import Any

from headrace_client import FinishedJob, JobFailed

from examples.cineweave.server import Server
from examples.running import Difference, eventually, fulfilled, refused, same

MODEL = "sketch-video"
# What CineWeave calls a job's states.
THEIRS = {"queued": "queued", "running": "running", "succeeded": "done", "failed": "failed", "canceled": "failed"}
LISTEN_SECONDS = 120.0


class Films:
    """The films of one user."""

    _film: FinishedJob

    def __init__(self, server: Server) -> None:
        self._server = server
        self._order = uuid.uuid4().hex  # CineWeave's own id of the order
        self._wanted: dict[str, Any] = {"prompt": "a harbour at dawn", "duration_seconds": 5, "seed": 7, "cfg": 6.5}
        self._jobs: list[str] = []

    def create(self) -> None:
        jobs = self._server.user.jobs
        job = jobs.submit(MODEL, self._wanted, idempotency_key=self._order)
        fulfilled(THEIRS[job.status] in ("queued", "running"), f"a new job is {job.status}")
        same(job.input, self._wanted, "the job's input")
        again = jobs.submit(MODEL, self._wanted, idempotency_key=self._order)
        same(again.id, job.id, "the job of the same order sent again")
        fulfilled(job.credits.reserved > 0, "nothing is reserved for it")
        self._jobs.append(job.id)

    def get(self) -> None:
        user = self._server.user
        film = self._film = user.jobs.wait(self._jobs[0])
        same((THEIRS[film.status], film.error), ("done", None), "how the film ended, and its error")
        cost = film.credits.charged or 0
        same(cost, film.credits.reserved, "the credits used")
        self._server.credits -= cost
        self._server.have(self._server.credits, 0, "after the film")
        (output,) = film.outputs
        same((output.media_type, output.duration_seconds), ("video/mp4", 5.0), "what was made, and its seconds")
        fulfilled(len(user.files.read(output)) == output.size_bytes, "the film is not as large as it says")

    def begin_with_a_picture(self) -> None:
        user = self._server.user
        picture = user.jobs.run("sketch-image", prompt="a lighthouse", width=256, height=256)
        # Bytes are uploaded on the way; an address on the web or a data: URI does as well.
        job = user.jobs.run(MODEL, prompt="the light turns", image=picture.image())
        same(user.files.get(job.input["image"]).media_type, "image/png", "the picture that was uploaded")
        self._server.credits -= (picture.credits.charged or 0) + (job.credits.charged or 0)
        self._jobs += [picture.id, job.id]

    def fail(self) -> None:
        try:
            self._server.user.jobs.run("sketch-broken", prompt="what cannot be drawn")
        except JobFailed as failure:
            job = failure.job
        else:
            raise Difference("a job that cannot be done has succeeded")
        self._jobs.append(job.id)
        why = job.error.code if job.error else None
        same((THEIRS[job.status], job.credits.charged, why), ("failed", 0, "sketch_permanent"), "end, credits, reason")
        self._server.have(self._server.credits, 0, "after the job that failed")

    def list_newest_first(self) -> None:
        jobs = self._server.user.jobs
        found = [each.id for each in jobs.list(limit=3)]  # page by page, by itself
        same(found, self._jobs[::-1], "the user's jobs, newest first")
        same([each.id for each in jobs.list(status="failed")], [self._jobs[-1]], "those that failed")

    def look_at_expiry(self) -> None:
        (output,), ended = self._film.outputs, self._film.ended_at
        if output.expires_at is None or ended is None:
            raise Difference("the film does not expire")
        same((output.expires_at - ended) // timedelta(hours=1), 24, "hours from a job's end to its result's")

    def find_expired(self) -> None:
        user, film = self._server.user, self._film
        no = refused(410, "result_gone", user.files.read, film.outputs[0])
        same(no.extra["reason"], "expired", "why it is gone")
        eventually(lambda: user.jobs.get(film.id).outputs[0].status, "expired", "what its job says of it")
        eventually(lambda: self._server.balance().storage_bytes, 0, "the bytes that the user's files take")

    def watch(self) -> None:
        user, before = self._server.user, self._server.balance().available
        events = user.events.stream(timeout=LISTEN_SECONDS)
        first = next(events)
        same((first.type, first.data["available"]), ("balance", before), "what the stream begins with")
        job = user.jobs.submit(MODEL, {"prompt": "a storm"})
        seen = []
        for event in events:
            if event.job_id == job.id and event.type in ("job.queued", "job.output", "job.succeeded"):
                seen.append((event.type, event.data.get("available")))
            if event.type == "job.succeeded":
                break
        left = before - job.credits.reserved
        wanted = [("job.queued", left), ("job.output", None), ("job.succeeded", left)]
        same(seen, wanted, "what was heard of the job, with the balance")

    def follow(self) -> None:
        jobs = self._server.user.jobs
        job = jobs.submit(MODEL, {"prompt": "calm again"})
        heard = list(jobs.stream(job, timeout=LISTEN_SECONDS))  # the stream ends with the job
        same((heard[0].type, heard[-1].type), ("job", "job.succeeded"), "what the stream begins and ends with")

    def repeat_otherwise(self) -> None:
        other, jobs = {**self._wanted, "seed": 8}, self._server.user.jobs
        refused(422, "idempotency_mismatch", jobs.submit, MODEL, other, idempotency_key=self._order)

    def order_nonsense(self) -> None:
        jobs, before = self._server.user.jobs, self._server.balance()
        wrong = {"duration_seconds": 7, "cfg": 99, "seed": -1, "prompt": "", "image": "no picture"}
        for field, value in wrong.items():
            no = refused(422, "invalid_input", jobs.submit, MODEL, {**self._wanted, field: value})
            fulfilled(field in (no.param or ""), f"{field} = {value!r} was refused for {no.param}")
        refused(404, "unknown_model", jobs.submit, "no-such-model", {})
        same(self._server.balance(), before, "the balance after all of them")
