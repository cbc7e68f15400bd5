"""What a browser token hears of its account: of one job, or of the jobs of one model, and nothing that is of no job."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from api.edge.grouping import Grouper
from models.access.scopes import Reach
from models.db import transaction
from models.jobs.reads import models_of

MAX_KNOWN_JOBS = 10_000  # per listener with a token for one model

Hears = Callable[[UUID | None], Awaitable[bool]]  # whether what is of this job (None: of the account) is for a listener
JobModels = Grouper[UUID, str | None]


def job_models_together() -> JobModels:
    """Of which model jobs are; asked only for who listens with a token for one."""
    return Grouper(_models_of, name="event-models")


def hears_within(reach: Reach | None, models: JobModels) -> Hears | None:
    """What is for a listener with this token. None: everything."""
    if reach is None or not reach.is_narrow:
        return None
    known: dict[UUID, bool] = {}  # a job keeps its model

    async def hears(job_id: UUID | None) -> bool:
        if job_id is None or reach.job_id is not None:
            return job_id is not None and job_id == reach.job_id
        if job_id not in known:
            if len(known) >= MAX_KNOWN_JOBS:
                known.clear()
            known[job_id] = await models.ask(job_id) == reach.model_id
        return known[job_id]

    return hears


def _models_of(job_ids: Sequence[UUID]) -> list[str | None]:
    with transaction() as conn:
        found = models_of(conn, job_ids)
    return [found.get(job_id) for job_id in job_ids]
