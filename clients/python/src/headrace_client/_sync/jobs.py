"""`client.jobs`: order, wait, listen."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr

from headrace_client import models
from headrace_client._calls import OMIT, Call, Omit
from headrace_client._ends import JOB_ENDS, file_name, is_end, made_folder, wanted_output
from headrace_client._retries import Deadline
from headrace_client._sync.files import Files
from headrace_client._sync.routes.jobs import JobsRoutes
from headrace_client._sync.sending import Sender
from headrace_client._sync.streams import listen
from headrace_client.errors import JobCanceled, JobFailed, RateLimited, WaitedTooLong

WAIT_SECONDS = 600.0
LAST_SECONDS = 20.0  # the end of a wait is spent with one question that the server answers late: it ends in time
Told = Callable[[models.Event], object]
Hook = Literal["job.queued", "job.output", "job.succeeded", "job.failed", "job.canceled"]


class FinishedJob(models.Job):
    """A job that has ended, and ways to its results."""

    _files: Files = PrivateAttr()

    def read(self, index: int = 0) -> bytes:
        """The bytes of a result, checked."""
        return self._files.read(wanted_output(self, index))

    def image(self, index: int = 0) -> bytes:
        """The bytes of a picture, checked. Raises ValueError where the result is something else."""
        return self._files.read(wanted_output(self, index, "image/"))

    def text(self, index: int = 0) -> str:
        """The text that was written. Raises ValueError where the result is something else."""
        return (self._files.read(wanted_output(self, index, "text/"))).decode()

    def save(self, folder: str | Path = ".") -> list[Path]:
        """Download all results into a folder, each under the job's id, its place and the ending of its type.

        for path in job.save("pictures"):
            print(path)
        """
        place = made_folder(folder)
        return [
            self._files.download(output, place / file_name(self, index)) for index, output in enumerate(self.outputs)
        ]


class Jobs(JobsRoutes):
    """Jobs: what is generated."""

    def __init__(self, sender: Sender, files: Files) -> None:
        super().__init__(sender)
        self._files = files

    def run(
        self,
        model: str,
        /,
        *,
        input: Mapping[str, Any] | None = None,
        timeout: float = WAIT_SECONDS,
        on_event: Told | None = None,
        labels: Mapping[str, str] | Omit | None = OMIT,
        idempotency_key: str | None = None,
        **values: Any,
    ) -> FinishedJob:
        """Order a job and wait until it has ended well. `POST /v1/jobs`.

            client = Headrace()
            job = client.jobs.run("sketch-image", prompt="a harbour at dawn", width=1024)
            open("harbour.png", "wb").write(job.image())

                order ──▶ queued ──▶ running ──▶ succeeded ──▶ job.outputs, job.image(), job.save()
                                        │
                                        └──▶ failed or canceled: JobFailed, and the credits are back

        Whatever is a file among the values (bytes, a Path, an open file) is uploaded first:

            job = client.jobs.run("editor", prompt="make it blue", image_url=Path("photo.jpg"))

        What happens meanwhile is told to `on_event`:

            job = client.jobs.run("film", prompt="waves", on_event=lambda event: print(event.type, event.data))

        Args:
            model: One of `client.models.list()`.
            input: The model's values, for those that are called like an argument here.
            timeout: Seconds to wait; then WaitedTooLong is raised, and the job goes on.
            on_event: Called with each event of the job, as it comes.
            labels: Your own, to find and count it by.
            idempotency_key: Made by itself. Give your own, and the same call of another process waits for the same job.
            values: The model's values.

        Raises:
            NotEnoughCredits: With `needed` and `available`.
            InvalidInput: The values do not fit the model; `param` names one.
            JobFailed: With `job`, whose `error` says why; JobCanceled where somebody has canceled it.
        """
        job = self.submit(model, {**(input or {}), **values}, labels=labels, idempotency_key=idempotency_key)
        ended = self.wait(job, timeout=timeout, on_event=on_event)
        if ended.status == "canceled":
            raise JobCanceled(ended)
        if ended.status != "succeeded":
            raise JobFailed(ended)
        return ended

    def submit(
        self,
        model: str,
        input: Mapping[str, Any],
        *,
        labels: Mapping[str, str] | Omit | None = OMIT,
        priority: int | Omit = OMIT,
        queue: Literal["interactive", "batch"] | Omit | None = OMIT,
        webhook: str | Omit | None = OMIT,
        webhook_events: Sequence[Hook] | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> models.Job:
        """Order a job, and do not wait. `POST /v1/jobs`. Files among the values are uploaded first.

        job = client.jobs.submit("editor", {"prompt": "make it blue", "image_url": Path("photo.jpg")})
        ...
        job = client.jobs.wait(job)
        """
        return self.create(
            model=model,
            input=self._files.replace_in(input),
            labels=labels,
            priority=priority,
            queue=queue,
            webhook=webhook,
            webhook_events=webhook_events,
            idempotency_key=idempotency_key,
        )

    def wait(
        self, job: str | models.Job, *, timeout: float = WAIT_SECONDS, on_event: Told | None = None
    ) -> FinishedJob:
        """Wait until a job has ended, however: look at its `status`. `GET /v1/jobs/{job_id}`. Raises WaitedTooLong.

        It listens to the job's events, over cuts and restarts of the server; where no more streams may be open it asks now and
        then instead.

            job = client.jobs.wait(job_id, timeout=60)
        """
        job_id = job if isinstance(job, str) else job.id
        deadline = Deadline(timeout)
        pause = 0.5
        while True:
            is_late = deadline.remaining <= LAST_SECONDS
            held = not is_late and self._sender.limits.take_stream()
            if held:
                try:
                    self._hear(job_id, Deadline(deadline.remaining - LAST_SECONDS / 2), on_event)
                except RateLimited:
                    pass  # other programs have all of the account's streams
                finally:
                    self._sender.limits.give_stream()
            found = self._look(job_id, deadline.remaining if is_late else 0)
            if found.status in JOB_ENDS:
                return self.finished(found)
            if deadline.remaining <= 0:
                raise WaitedTooLong(f"job {job_id} is {found.status} after {timeout:g} s", job_id)
            with self._sender.limits.asking() as least:
                time.sleep(min(max(pause, least), deadline.remaining))
            pause = min(pause * 1.5, 5.0)

    def stream(
        self, job: str | models.Job, *, after: int | None = None, timeout: float | None = None
    ) -> Generator[models.Event, None, None]:
        """The events of a job as they come, until it has ended. `GET /v1/jobs/{job_id}/events`.

        The first is `job`, with the job as it stands in `data`; then `job.running`, `job.progress`, `job.output`, of texts
        `job.text`; the last is `job.succeeded`, `job.failed` or `job.canceled`. A cut or a restart of the server is not seen here.

            for event in client.jobs.stream(job):
                if event.type == "job.progress":
                    print(event.data["progress"], "%")

        Args:
            job: The job, or its id.
            after: The number of the last event that you know: what was missed comes first.
            timeout: Stop after so many seconds, whether it has ended or not.
        """
        job_id = job if isinstance(job, str) else job.id
        call = Call("GET", "/v1/jobs/{job_id}/events", at={"job_id": job_id})
        found = listen(self._sender, call, after=after, is_last=is_end, deadline=Deadline(timeout))
        with closing(found) as events:
            for event in events:
                yield event

    def finished(self, job: models.Job) -> FinishedJob:
        """A job as one whose results can be fetched."""
        found = FinishedJob.model_validate(job.model_dump())
        found._files = self._files  # noqa: SLF001 - its own, and no field
        return found

    def _hear(self, job_id: str, deadline: Deadline, on_event: Told | None) -> None:
        call = Call("GET", "/v1/jobs/{job_id}/events", at={"job_id": job_id})
        with closing(listen(self._sender, call, after=None, is_last=is_end, deadline=deadline)) as events:
            for event in events:
                if on_event is not None:
                    on_event(event)

    def _look(self, job_id: str, seconds: float) -> models.Job:
        prefer: dict[str, str | Omit] = {"Prefer": f"wait={seconds:.1f}"} if seconds >= 0.1 else {}
        return self._sender.ask(Call("GET", "/v1/jobs/{job_id}", at={"job_id": job_id}, headers=prefer), models.Job)
