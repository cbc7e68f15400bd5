"""Duties for batches: their next jobs begin, what is canceled is canceled to the last, and their end is told."""

from uuid import UUID

from models.db import transaction
from models.jobs import batches
from models.jobs.batches import Todo
from scheduler.turns import Aside, Did, Patience, each
from workers.doorbell import ring

_limited, _looked_at = Aside(), Aside()


def let_batches_go(batch: int) -> Did:
    """Let the next jobs of batches with a limit into their accounts' lines, as many as others of them have ended."""

    def act(pair: tuple[UUID, UUID], patience: Patience) -> int:
        with patience.locked(pair[1]) as conn:
            let, rings = batches.let_go(conn, pair[1], pair[0])
        ring(rings)
        return let

    with transaction() as conn:
        ready = batches.ready_to_let_go(conn, batch, without=_limited.ids())
    return each(_limited, ready, act, of=lambda pair: pair[0])


def end_batches(batch: int) -> Did:
    """Cancel the rest of batches that are to be canceled, and tell of those that are over."""

    def act(todo: Todo, patience: Patience) -> int:
        with patience.locked(todo.account_id) as conn:
            if not todo.cancel:
                return batches.end(conn, todo.account_id, todo.batch_id)
            canceled, rings = batches.cancel_some(conn, todo.batch_id)
        ring(rings)
        return canceled

    with transaction() as conn:
        todo = batches.look(conn, batch, without=_looked_at.ids())
    return each(_looked_at, todo, act, of=lambda one: one.batch_id)
