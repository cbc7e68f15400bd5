"""Submits, grouped: one transaction for all that arrive together, a second lane for accounts that are held elsewhere."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from api.grouping import Grouper
from common.faultpoints import reached
from models import submit
from models.db import CommitUnknown, transaction
from models.dispatch import Ring
from models.errors import DomainError, Unavailable
from models.submit import Accepted, Answer, Locked, Order
from workers.enqueue import ring

log = logging.getLogger(__name__)

LANES = 4  # accounts that may be waited for at the same time


class Intake:
    """Takes orders for one event loop."""

    def __init__(self) -> None:
        self._first: Grouper[Order, Answer] = Grouper(_submit_group, rescue=_one_by_one, after=_ring, name="intake")
        self._pool = ThreadPoolExecutor(LANES, thread_name_prefix="intake-wait")
        # Orders whose account is held elsewhere, by account: each account waits in one thread, with all its orders.
        self._lanes: dict[UUID, list[tuple[Order, asyncio.Future[Answer | Exception]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, order: Order) -> Accepted:
        """The job that answers an order. Raises the DomainError that refuses it."""
        answer: Answer | Exception = await self._first.ask(order)
        if isinstance(answer, Locked):
            answer = await self._wait_for_account(order)
        if isinstance(answer, Accepted):
            return answer
        assert isinstance(answer, Exception)  # noqa: S101 - the waiting lane never says Locked
        raise answer

    async def _wait_for_account(self, order: Order) -> Answer | Exception:
        future: asyncio.Future[Answer | Exception] = asyncio.get_running_loop().create_future()
        lane = self._lanes.get(order.account_id)
        if lane is not None:
            lane.append((order, future))
        else:
            self._lanes[order.account_id] = [(order, future)]
            task = asyncio.create_task(self._serve_lane(order.account_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _serve_lane(self, account_id: UUID) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._lanes[account_id]:
            self._lanes[account_id] = []
            orders = [order for order, _ in batch]
            answers = await loop.run_in_executor(self._pool, _submit_waiting, orders)
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        del self._lanes[account_id]

    def close(self) -> None:
        self._first.close()
        self._pool.shutdown(wait=True)


def _submit_group(orders: Sequence[Order]) -> Sequence[Answer | Exception]:
    with transaction() as conn:
        answers = submit.submit(conn, orders)
    reached("api:committed")
    return answers


def _one_by_one(orders: Sequence[Order], error: Exception) -> Sequence[Answer | Exception]:
    """A batch failed: nothing of it was written, or, at COMMIT, that is not known. Each order is done again alone, and
    finds itself by its id where it was written after all, so that one bad order harms no other.
    """
    if len(orders) > 1 or isinstance(error, CommitUnknown):
        log.warning("a batch of %d submits failed and is done one by one: %s", len(orders), error)
        return [_alone(order) for order in orders]
    return [error]


def _alone(order: Order) -> Answer | Exception:
    try:
        with transaction() as conn:
            written = conn.execute("select queue from jobs where id = %s", [order.job_id]).fetchone()
            if written:
                return Accepted(order.job_id, replayed=False, dispatched=False, queue=written[0])
            return submit.submit(conn, [order])[0]
    except CommitUnknown:
        return Unavailable("the database went away while answering; ask again with the same Idempotency-Key")
    except Exception as error:  # noqa: BLE001 - the caller gets it as its answer
        return error


def _submit_waiting(orders: Sequence[Order]) -> Sequence[Answer | Exception]:
    answers: Sequence[Answer | Exception]
    try:
        with transaction() as conn:
            answers = submit.submit(conn, orders, wait=True)
    except DomainError as error:  # the account was not had in time: nothing was done
        return [error] * len(orders)
    except Exception as error:  # noqa: BLE001 - every caller must get an answer
        answers = _one_by_one(orders, error)
    _ring(orders, answers)
    return answers


def _ring(orders: Sequence[Order], answers: Sequence[Answer | Exception]) -> None:
    accepted = [(o, a) for o, a in zip(orders, answers, strict=True) if isinstance(a, Accepted) and not a.replayed]
    ring(
        [Ring(answer.job_id, answer.queue) for _, answer in accepted if answer.dispatched],
        told={order.account_id for order, _ in accepted},
    )
