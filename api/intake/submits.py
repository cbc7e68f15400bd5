"""Submits, grouped: one transaction for all that arrive together, a second lane for accounts that are held elsewhere."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from api.edge.grouping import Grouper
from api.turns.walls import share_of_waiters
from common.errors import Busy, Overloaded, Unavailable
from common.faultpoints import reached
from common.telemetry import jobs, traces
from models.db import CommitUnknown, certain
from models.jobs import submit
from models.jobs.admission import Accepted, Answer, Locked, Order
from models.jobs.dispatch import Ring
from workers.doorbell import ring

log = logging.getLogger(__name__)

MAX_LANE = 100  # orders of one account that wait for it
MAX_IN_LANES = 1000  # of all accounts

Lane = list[tuple[Order, asyncio.Future[Answer | Exception]]]


class Intake:
    """Takes orders for one event loop."""

    def __init__(self) -> None:
        self._first: Grouper[Order, Answer] = Grouper(_submit_group, rescue=_rescued, after=_ring, name="intake")
        # As many accounts may be waited for at the same time, each with a connection.
        self._pool = ThreadPoolExecutor(share_of_waiters(), thread_name_prefix="intake-wait")
        # Orders whose account is held elsewhere, by account: each account waits in one thread, with all its orders.
        self._lanes: dict[UUID, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, order: Order) -> Accepted:
        """The job that answers an order. Raises the DomainError that refuses it."""
        with traces.span("submit", order.job_id) as mark:
            answer: Answer | Exception = await self._first.ask(order)
            if isinstance(answer, Locked):
                answer = await self._wait_for_account(order)
            if not isinstance(answer, Accepted) or answer.replayed:
                mark.drop()  # there is no such job
        if isinstance(answer, Accepted):
            traces.belong(answer.job_id)
            if not answer.replayed:
                jobs.ordered(
                    order.job_id, order.account_id, order.offer.entry.id, queue=answer.queue,
                    price_credits=answer.price_credits,
                )  # fmt: skip
            return answer
        assert isinstance(answer, Exception)  # noqa: S101 - the waiting lane never says Locked
        raise answer

    async def _wait_for_account(self, order: Order) -> Answer | Exception:
        lane = self._lanes.get(order.account_id)
        if len(lane or ()) >= MAX_LANE or sum(map(len, self._lanes.values())) >= MAX_IN_LANES:
            return Overloaded("too many orders wait for this account already; try again soon")
        future: asyncio.Future[Answer | Exception] = asyncio.get_running_loop().create_future()
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
            answers: Sequence[Answer | Exception]
            try:
                answers = await loop.run_in_executor(self._pool, _submit_waiting, [order for order, _ in batch])
            except Exception as error:  # noqa: BLE001 - every caller must get an answer
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        del self._lanes[account_id]

    def close(self) -> None:
        self._first.close()
        self._pool.shutdown(wait=True)


def _submit_group(orders: Sequence[Order]) -> Sequence[Answer | Exception]:
    with certain(wake=False) as conn:  # `_ring` does
        answers = submit.submit(conn, orders)
    reached("api:committed")
    return answers


def _rescued(orders: Sequence[Order], error: Exception) -> Sequence[Answer | Exception]:
    """A batch failed. What it means for each of its orders: where the database could not do it, nothing else could have
    been done, and one by one it would only take as many time-outs; a lock that was not had is waited for in the second
    lane; and one bad order must not harm the others, so each is tried alone.
    """
    if isinstance(error, CommitUnknown):
        return [_unknown(order) for order in orders]
    if isinstance(error, Busy):
        return [Locked() for _ in orders]
    if isinstance(error, Unavailable) or len(orders) == 1:
        return [error] * len(orders)
    log.warning("a batch of %d submits failed and is done one by one: %s", len(orders), error)
    answers: list[Answer | Exception] = []
    for order in orders:
        if answers and isinstance(answers[-1], Unavailable):
            answers.append(answers[-1])
        else:
            answers.append(_alone(order))
    return answers


def _alone(order: Order) -> Answer | Exception:
    try:
        with certain(wake=False) as conn:
            return submit.submit(conn, [order])[0]
    except CommitUnknown:
        return _unknown(order)
    except Busy:
        return Locked()
    except Exception as error:  # noqa: BLE001 - the caller gets it as its answer
        return error


def _unknown(order: Order) -> CommitUnknown:
    return CommitUnknown(
        "the database went away while answering, and the job may have been ordered: look for it by its id, or send the "
        "same request again with its Idempotency-Key",
        job_id=str(order.job_id),
    )


def _submit_waiting(orders: Sequence[Order]) -> Sequence[Answer | Exception]:
    """Orders of one account, which is waited for."""
    answers: Sequence[Answer | Exception]
    try:
        with certain(wake=False) as conn:
            answers = submit.submit(conn, orders, wait=True)
    except Busy as error:  # the account was not had in time: nothing was done
        return [error] * len(orders)
    except Exception as error:  # noqa: BLE001 - every caller must get an answer
        answers = [_never_locked(answer) for answer in _rescued(orders, error)]
    _ring(orders, answers)
    return answers


def _never_locked(answer: Answer | Exception) -> Answer | Exception:
    return Busy("another request holds this account; try again soon") if isinstance(answer, Locked) else answer


def _ring(orders: Sequence[Order], answers: Sequence[Answer | Exception]) -> None:
    """After the commit, so whatever happens here must not become an answer: the scheduler rings what is not rung."""
    accepted = [(o, a) for o, a in zip(orders, answers, strict=True) if isinstance(a, Accepted) and not a.replayed]
    try:
        ring(
            [Ring(answer.job_id, answer.queue) for _, answer in accepted if answer.dispatched],
            wake_listeners_of={order.account_id for order, _ in accepted},
        )
    except Exception:
        log.exception("jobs were not rung; the scheduler will")
