"""`client.jobs`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import Job, JobPage, Output


class AsyncJobsRoutes:
    """`client.jobs`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        status: Literal["queued", "running", "succeeded", "failed", "canceled"] | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        label: str | Omit | None = OMIT,
        limit: int | Omit = OMIT,
    ) -> AsyncPager[Job, JobPage]:
        """List jobs. `GET /v1/jobs`.

        Your own jobs, newest first.

        Args:
            label: Only those with this label: name:value, such as customer:acme.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/jobs", query={"status": status, "model": model, "label": label, "limit": limit}),
            JobPage,
            lambda page: page.data,
        )

    async def create(
        self,
        *,
        input: Mapping[str, Any],
        model: str,
        labels: Mapping[str, str] | Omit | None = OMIT,
        priority: int | Omit = OMIT,
        queue: Literal["interactive", "batch"] | Omit | None = OMIT,
        webhook: str | Omit | None = OMIT,
        webhook_events: Sequence[Literal["job.queued", "job.output", "job.succeeded", "job.failed", "job.canceled"]]
        | Omit
        | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Job:
        """Order a job. `POST /v1/jobs`.

        Checks the input, reserves the credits and queues the job. With an `Idempotency-Key` the same request, sent again
        within 24 hours, answers with the same job (and `Idempotent-Replayed: true`); another request with it is refused.

        Args:
            input: Must fit the model's input_schema.
            model: One of GET /v1/models.
            priority: Among the account's own jobs; higher goes first.
            queue: The model's own, if absent.
            webhook: Told of this job; signed with GET /v1/webhooks/default/secret.
            webhook_events: The three ends, if absent.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/jobs",
                body={
                    "input": input,
                    "model": model,
                    "labels": labels,
                    "priority": priority,
                    "queue": queue,
                    "webhook": webhook,
                    "webhook_events": webhook_events,
                },
                once=True,
                key=idempotency_key,
            ),
            Job,
        )

    async def get(self, job_id: str) -> Job:
        """Look at a job. `GET /v1/jobs/{job_id}`.

        The job's status, where it stands while it waits, and its results once it has succeeded.
        """
        return await self._sender.ask(Call("GET", "/v1/jobs/{job_id}", at={"job_id": job_id}), Job)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job. `POST /v1/jobs/{job_id}/cancel`.

        A job that has not started is canceled and refunded at once. A running one is asked to stop: `cancel_requested`
        is true until it has, and its model decides whether it is refunded.
        """
        return await self._sender.ask(Call("POST", "/v1/jobs/{job_id}/cancel", at={"job_id": job_id}), Job)

    async def delete_outputs(self, job_id: str) -> None:
        """Delete a job's results. `DELETE /v1/jobs/{job_id}/outputs`.

        All that it still has. They are gone at once for everybody, and count as storage no more; the job stays. Again it
        changes nothing.
        """
        return await self._sender.ask_nothing(Call("DELETE", "/v1/jobs/{job_id}/outputs", at={"job_id": job_id}))

    async def delete_output(self, job_id: str, index: int) -> None:
        """Delete a result. `DELETE /v1/jobs/{job_id}/outputs/{index}`.

        Gone at once for everybody: its address answers 410. Again, or of one that has expired, it changes nothing.

        Args:
            index: Its place among the job's outputs, from 0.
        """
        return await self._sender.ask_nothing(
            Call("DELETE", "/v1/jobs/{job_id}/outputs/{index}", at={"job_id": job_id, "index": index})
        )

    async def let_output_go(self, job_id: str, index: int) -> Output:
        """Leave a kept result to its time again. `DELETE /v1/jobs/{job_id}/outputs/{index}/keep`.

        It expires when its plan said, and not sooner than `UNKEPT_HOURS` (24) from now. Again it changes nothing.

        Args:
            index: Its place among the job's outputs, from 0.
        """
        return await self._sender.ask(
            Call("DELETE", "/v1/jobs/{job_id}/outputs/{index}/keep", at={"job_id": job_id, "index": index}), Output
        )

    async def keep_output(self, job_id: str, index: int) -> Output:
        """Keep a result past its plan's time. `POST /v1/jobs/{job_id}/outputs/{index}/keep`.

        Until it is deleted, or left to its time again. It goes on counting as storage; an account over its quota keeps
        nothing more. Again it changes nothing.

        Args:
            index: Its place among the job's outputs, from 0.
        """
        return await self._sender.ask(
            Call("POST", "/v1/jobs/{job_id}/outputs/{index}/keep", at={"job_id": job_id, "index": index}), Output
        )

    async def retry(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Order an ended job again. `POST /v1/jobs/{job_id}/retry`.

        A new job with the same input, labels, queue and webhook, at today's price and without a priority; `retry_of` names the old one, which stays as it ended. With an
        `Idempotency-Key` it is ordered once, as with `POST /v1/jobs`.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call("POST", "/v1/jobs/{job_id}/retry", at={"job_id": job_id}, once=True, key=idempotency_key), Job
        )
