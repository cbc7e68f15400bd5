"""`client.batches`: thousands of jobs in one call."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Literal

from headrace_client import models
from headrace_client._async.routes.batches import AsyncBatchesRoutes
from headrace_client._calls import OMIT, Call, Omit
from headrace_client._lines import BatchResult
from headrace_client.errors import ConnectionFailed


class AsyncBatches(AsyncBatchesRoutes):
    """Batches of jobs."""

    async def create(
        self,
        orders: Iterable[Mapping[str, Any]],
        *,
        accept: Literal["all", "valid"] | Omit = OMIT,
        max_running: int | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> models.OrderedBatch:
        """Order up to 10,000 jobs. `POST /v1/batches`.

            orders = [{"custom_id": name, "model": "sketch-image", "input": {"prompt": name}} for name in names]
            batch = await client.batches.create(orders, max_running=10)
            async for result in client.batches.results(batch.id):
                print(result.custom_id, result.status)

        Args:
            orders: Each as `jobs.create` takes it (`model`, `input`, `labels`, `priority`, `queue`, `webhook`,
                `webhook_events`), with a `custom_id` of your own. Files are uploads or addresses.
            accept: `all`: all lines or none. `valid`: those that can be ordered.
            max_running: At most so many of its jobs at a time.
            idempotency_key: Made by itself, and kept over retries.
        """
        lines = "".join(json.dumps(order, separators=(",", ":")) + "\n" for order in orders).encode()
        query = {"accept": accept, "max_running": max_running}
        call = Call("POST", "/v1/batches", query=query, lines=lines, once=True, key=idempotency_key)
        return await self._sender.ask(call, models.OrderedBatch)

    async def results(
        self, batch_id: str, *, after: int | Omit = OMIT, all: bool | Omit = OMIT
    ) -> AsyncIterator[BatchResult]:
        """What has ended of a batch, in its order, read as it comes. `GET /v1/batches/{batch_id}/results`.

        A download that breaks off goes on after the last line that came.

        Args:
            batch_id: The batch.
            after: The number of the last line that you have.
            all: What has not ended too.
        """
        last = after
        while True:
            call = Call(
                "GET", "/v1/batches/{batch_id}/results", at={"batch_id": batch_id}, query={"after": last, "all": all}
            )
            before = last
            try:
                async for line in self._sender.ask_lines(call):
                    result = BatchResult.model_validate(line)
                    last = result.number
                    yield result
            except ConnectionFailed:
                if last == before:  # nothing came at all since the last time
                    raise
            else:
                return
