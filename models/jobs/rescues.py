"""Jobs whose workers are lost again and again: after so many rescues without progress they are given up."""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from common.settings import settings
from models.catalogue import provider_keys
from models.catalogue.providers import BUILT_IN
from models.jobs.ending import AttemptEnd, Ended, Ending, end
from models.jobs.states import AttemptPhase, JobEnd
from models.locks import lock_account


class Slot(NamedTuple):
    """A provider's slot that an attempt held, and that is free now: under which credential, and who held it."""

    credential: str
    member: str


class GivenUp(NamedTuple):
    """What giving an attempt up did."""

    ended: Ended
    slot: Slot | None
    code: str = ""  # what the job failed with


def slot_of(account_id: UUID, job_id: UUID, number: int, provider: str, *, own: bool) -> Slot | None:
    """The slot of an attempt; None for the built-in provider, which has none."""
    if provider == BUILT_IN:
        return None
    return Slot(provider_keys.credential(provider, account_id, own=own), f"{job_id}:{number}")


def give_up(conn: Connection[Any], account_id: UUID, job_id: UUID, token: int) -> GivenUp | None:
    """Fail a job whose lease has lapsed once too often; it is refunded, its cost booked as far as it is known.

    None: the lease has not lapsed, or another has the job. A result that was delivered and whose collecting ends every
    worker is lost (`result_lost`); of anything else nobody knows (`worker_lost`).
    """
    # The account first, then the run: the lapsed lease is checked again under both locks.
    lock_account(conn, account_id)
    lapsed = conn.execute(
        """select 1 from job_runs where job_id = %s and token = %s and lease_owner is not null
              and wake_at <= app_now() for update""",
        [job_id, token],
    ).fetchone()
    if lapsed is None:
        return None
    live = conn.execute(
        """select number, phase, provider, own_key is not null, cost_usd_micros, charged from attempts
            where job_id = %s and ended_at is null""",
        [job_id],
    ).fetchone()
    why = f"its worker was lost {settings().max_rescues} times"
    code, attempt, slot = "worker_lost", None, None
    if live is not None:
        number, phase, provider, own, cost, charged = live
        if phase == AttemptPhase.DELIVERED:
            code, why = "result_lost", f"the result was there, but {why} while it was collected"
            attempt = AttemptEnd(number, AttemptPhase.FAILED, code, why, charged=charged, cost_usd_micros=cost)
        else:
            attempt = AttemptEnd(number, AttemptPhase.ABANDONED, code, why)
        slot = slot_of(account_id, job_id, number, provider, own=own)
    ending = Ending(JobEnd.FAILED, error_code=code, error_message=why, attempt=attempt)
    ended = end(conn, account_id, job_id, ending, token=token)
    if ended is None:
        return None
    return GivenUp(ended, slot, code)
