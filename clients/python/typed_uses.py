"""What a program that uses the client is told about types; mypy reads this in `make lint`, nobody runs it.

Each call stands here once blocking and once awaited, so that both halves have the same types.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from pathlib import Path

from typing_extensions import assert_type

from headrace_client import (
    AsyncFinishedJob,
    AsyncHeadrace,
    AsyncPager,
    BatchResult,
    FinishedJob,
    Headrace,
    NotEnoughCredits,
    Pager,
    WebhookEvent,
    models,
    verify_webhook,
)


def blocking(client: Headrace) -> None:
    """The client that blocks."""
    job = client.jobs.run("sketch-image", prompt="a harbour", width=64, on_event=print)
    assert_type(job, FinishedJob)
    assert_type(job.image(), bytes)
    assert_type(job.save("here"), list[Path])
    assert_type(job.outputs[0], models.Output)
    assert_type(job.outputs[0].width, int | None)
    assert_type(job.error, models.JobError | None)
    assert_type(client.jobs.submit("editor", {"image_url": Path("a.png")}, labels={"customer": "acme"}), models.Job)
    assert_type(client.jobs.list(status="failed"), Pager[models.Job, models.JobPage])
    assert_type(client.jobs.list().first().next, str | None)
    for each in client.jobs.list():
        assert_type(each, models.Job)
    assert_type(client.jobs.stream(job), Generator[models.Event, None, None])
    assert_type(client.credits.get().available, int)
    assert_type(client.holds.create(amount=5, reference="order-1"), models.Hold)
    assert_type(client.files.upload(b"bytes"), models.File)
    assert_type(client.files.download(job.outputs[0], "a.png"), Path)
    assert_type(client.batches.results("id"), Iterator[BatchResult])
    assert_type(client.tokens.create(may=["read", "stream"], job=job.id).token, str)
    assert_type(client.usage.get_csv(by="day"), str)
    assert_type(client.acting_for("clerk:user_1"), Headrace)
    assert_type(verify_webhook({}, b"", "whsec_AAAA"), WebhookEvent)
    client.jobs.list(status="nothing")  # type: ignore[arg-type]  # no such state
    client.holds.create(reference="order-1")  # type: ignore[call-arg]  # the amount is missing
    client.jobs.submit("editor")  # type: ignore[call-arg]  # the input is missing
    client.tokens.create(may=["everything"])  # type: ignore[list-item]  # no such right


async def waiting(client: AsyncHeadrace) -> None:
    """The client that is awaited."""
    job = await client.jobs.run("sketch-image", prompt="a harbour", width=64, on_event=print)
    assert_type(job, AsyncFinishedJob)
    assert_type(await job.image(), bytes)
    assert_type(await job.save("here"), list[Path])
    assert_type(client.jobs.list(status="failed"), AsyncPager[models.Job, models.JobPage])
    assert_type((await client.jobs.list().first()).next, str | None)
    async for each in client.jobs.list():
        assert_type(each, models.Job)
    assert_type(client.jobs.stream(job), AsyncGenerator[models.Event, None])
    assert_type((await client.credits.get()).available, int)
    assert_type(await client.files.upload(b"bytes"), models.File)
    assert_type(await client.files.download(job.outputs[0], "a.png"), Path)
    assert_type(client.batches.results("id"), AsyncIterator[BatchResult])
    assert_type(client.acting_for("clerk:user_1"), AsyncHeadrace)
    await client.jobs.list(status="nothing").first()  # type: ignore[arg-type]  # no such state


def errors(error: NotEnoughCredits) -> None:
    """What an error says."""
    assert_type(error.needed, int | None)
    assert_type(error.param, str | None)
