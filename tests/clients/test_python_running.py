"""The Python client against a running system."""

import asyncio
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from headrace_client import Headrace, JobCanceled, JobFailed, NotEnoughCredits, errors, models, verify_webhook

from tests.clients.calling import called, methods
from tests.clients.conftest import LARGEST_UPLOAD_BYTES, Running, admin_key
from tests.support import account, assert_books_are_clean, balance, eventually, one

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/openapi.json"
PNG = b"\x89PNG"
BIG = 200 << 20


def test_a_picture_is_three_lines(running: Running, tmp_path: Path) -> None:
    who = account(amount=20)
    heard: list[str] = []
    with running.client(who) as client:
        job = client.jobs.run(
            "sketch-image", prompt="a harbour at dawn", count=2, on_event=lambda e: heard.append(e.type)
        )
        picture = job.image()
        assert picture.startswith(PNG)
        assert [len(client.files.read(each)) for each in job.outputs] == [each.size_bytes for each in job.outputs]
        saved = job.save(tmp_path)
        assert saved[0].read_bytes() == picture
        assert (heard[0], heard[-1]) == ("job", "job.succeeded")
        assert client.jobs.get(job.id).credits.charged == job.credits.charged
        assert client.files.read(str(job.outputs[0].thumbnail_url)).startswith(b"RIFF")
    assert_books_are_clean()


def test_the_same_awaited(running: Running) -> None:
    async def run() -> tuple[bytes, list[str]]:
        async with running.waiting(account(amount=20)) as client:
            job = await client.jobs.run("sketch-image", prompt="a lake")
            kinds = [event.type async for event in client.jobs.stream(job)]
            return await job.image(), kinds

    picture, kinds = asyncio.run(run())
    assert picture.startswith(PNG)
    assert kinds == ["job"]  # it has ended, and says so


def test_a_slow_job_is_followed_to_its_end(running: Running) -> None:
    with running.client(account(amount=20)) as client:
        job = client.jobs.submit("slow", {}, labels={"customer": "acme"})
        kinds = [event.type for event in client.jobs.stream(job)]
        assert (kinds[0], kinds[-1]) == ("job", "job.succeeded")
        assert "job.progress" in kinds
        assert [each.id for each in client.jobs.list(label="customer:acme")] == [job.id]
        last = client.jobs.wait(job).id
        numbers = [event.number for event in client.events.list() if event.job_id == last]
        assert numbers == sorted(numbers, key=lambda number: number or 0)


def test_what_fails_is_canceled_or_cannot_be_paid_is_an_error_of_its_kind(running: Running) -> None:
    who = account(amount=20)
    with running.client(who) as client:
        with pytest.raises(JobFailed) as failed:
            client.jobs.run("broken")
        assert failed.value.job.error is not None
        with pytest.raises(NotEnoughCredits) as poor:
            client.jobs.run("dear")
        assert (poor.value.needed, poor.value.available) == (50, 20)
        with pytest.raises(errors.InvalidInput) as wrong:
            client.jobs.run("sketch-image", prompt="x", width=1)
        assert "width" in str(wrong.value.param)
        with pytest.raises(errors.NotFound):
            client.jobs.run("no-such-model", prompt="x")
        caught: list[Exception] = []

        def run() -> None:
            try:
                client.jobs.run("endless", labels={"thread": "yes"})
            except JobCanceled as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        eventually(lambda: bool(client.jobs.list(label="thread:yes").first().data), what="the order")
        (job,) = client.jobs.list(label="thread:yes")
        client.jobs.cancel(job.id)
        thread.join(30)
        assert [type(error) for error in caught] == [JobCanceled]
        with pytest.raises(errors.Conflict):
            client.jobs.delete_outputs(client.jobs.submit("endless", {}, labels={"thread": "no"}).id)
        with pytest.raises(errors.WaitedTooLong):
            client.jobs.run("endless", timeout=0.5)
        for each in client.jobs.list():
            if each.ended_at is None:
                client.jobs.cancel(each.id)
    with pytest.raises(errors.AuthenticationError):
        with Headrace("hr_nobody", running.system.url) as nobody:
            nobody.credits.get()
    assert_books_are_clean()


def test_a_file_among_the_values_is_uploaded(running: Running, tmp_path: Path) -> None:
    with running.client(account(amount=500)) as client:
        picture = client.jobs.run("sketch-image", prompt="a face").image()
        path = tmp_path / "face.png"
        path.write_bytes(picture)
        edited = client.jobs.run("editor", prompt="it smiles", image=path)
        (file,) = client.files.list()
        assert (edited.input["image"], file.size_bytes) == (file.id, len(picture))
        with path.open("rb") as handle:
            assert client.files.upload(handle).sha256 == file.sha256
        client.files.delete(file.id)


def test_two_hundred_megabytes_go_up_and_down_in_little_memory(running: Running, tmp_path: Path) -> None:
    assert BIG < LARGEST_UPLOAD_BYTES
    path = tmp_path / "long.wav"
    sound(path, BIG)
    with running.client(account(amount=5, plan="enterprise")) as client:
        client.credits.get()  # what a first call loads is not counted
        tracemalloc.start()
        try:
            file = client.files.upload(path)
            down = client.files.download(file, tmp_path / "again.wav")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (file.size_bytes, down.stat().st_size) == (BIG, BIG)
        assert peak < 8 << 20, peak
        print(f"peak {peak / 2**20:.1f} MiB")


def sound(path: Path, size: int) -> None:
    """A WAV of so many bytes, all silence."""
    data, rate = size - 44, 48_000
    numbers = [(16, 4), (1, 2), (2, 2), (rate, 4), (rate * 4, 4), (4, 2), (16, 2)]
    head = b"RIFF" + (size - 8).to_bytes(4, "little") + b"WAVEfmt "
    head += b"".join(value.to_bytes(width, "little") for value, width in numbers)
    with path.open("wb") as handle:
        handle.write(head + b"data" + data.to_bytes(4, "little"))
        handle.truncate(size)


def test_a_batch_is_ordered_and_read_line_by_line(running: Running) -> None:
    with running.client(account(amount=20)) as client:
        orders = [{"custom_id": f"o-{number}", "model": "quick", "input": {"seed": number}} for number in range(5)]
        batch = client.batches.create([*orders, {"custom_id": "bad", "model": "no", "input": {}}], accept="valid")
        eventually(lambda: client.batches.get(batch.id).status == "completed", what="the batch")
        results = list(client.batches.results(batch.id))
        assert [(each.custom_id, each.status) for each in results] == [
            *((f"o-{number}", "succeeded") for number in range(5)), ("bad", "refused"),
        ]  # fmt: skip
        assert results[0].outputs[0].size_bytes > 0
        assert [each.number for each in client.batches.results(batch.id, after=results[3].number)] == [5, 6]


def test_credits_are_held_and_quoted_and_listed(running: Running) -> None:
    who = account(amount=20)
    with running.client(who) as client:
        assert client.quotes.create(model="quick", input={}).credits == 1
        hold = client.holds.create(amount=5, reference="order-1", labels={"customer": "acme"})
        assert (client.credits.get().available, balance(who)) == (15, (15, 5))
        client.holds.settle(hold.id, amount=3)
        assert [each.id for each in client.holds.list()] == [hold.id]
        kinds = {entry.kind for entry in client.credits.list_entries()}
        assert kinds
        assert client.me.get().balance.available == client.credits.get().available
        assert client.usage.get(by="model").total.credits == 3
        assert "," in client.usage.get_csv()
    assert_books_are_clean()


def test_a_webhook_that_arrives_is_believed(running: Running) -> None:
    with running.client(account(amount=20)) as client:
        hook = client.webhooks.create(url=running.receiver.url, events=["job.succeeded"])
        job = client.jobs.run("quick")
        eventually(lambda: any(job.id in each.body.decode() for each in running.receiver.got), what="the delivery")
        got = next(each for each in running.receiver.got if job.id in each.body.decode())
        event = verify_webhook(got.headers, got.body, hook.secret)
        assert (event.type, event.id, event.data["job_id"]) == ("job.succeeded", got.id, job.id)
        with pytest.raises(errors.BadSignature):
            verify_webhook(got.headers, got.body + b" ", hook.secret)
        assert [each.id for each in client.webhooks.list()] == [hook.id]
        assert client.webhooks.change(hook.id, enabled=False).enabled is False
        client.webhooks.delete(hook.id)


def test_a_service_acts_for_its_users(running: Running) -> None:
    with Headrace(admin_key(), running.system.url) as service:
        who = account()
        theirs = service.acting_for(str(who))
        service.admin.give_credits(str(who), amount=7, kind="gift", reason="welcome")
        job = theirs.jobs.run("quick")
        assert one("select account_id from jobs where id = %s", job.id) == (who,)
        assert (theirs.me.get().account_id, theirs.credits.get().available) == (str(who), 6)
        assert service.me.get().account_id != theirs.me.get().account_id


# What would lock out, pause or stop what the others after it need, or waits for its own time.
LAST = ("admin.pause_work", "admin.drain_worker")
NOT_HERE = ("events.stream", "files.download")  # tested above


def test_a_stream_begins_with_the_jobs_and_goes_on_and_a_browsers_token_orders_for_so_much(running: Running) -> None:
    with running.client(account(amount=20)) as client:
        job = client.jobs.run("sketch-image", prompt="a harbour")
        token = client.tokens.create(may=["read", "stream", "generate"], credits=1, seconds=60)
        assert (token.account is not None, token.credits) == (True, 1)
    with Headrace(token.token, running.system.url, patience_seconds=5) as page:
        heard = page.events.stream(snapshot="jobs", limit=5, timeout=30)
        first = next(heard)
        assert (first.type, first.data["data"][0]["id"]) == ("snapshot", job.id)
        assert first.data["credits"]["available"] is not None
        ordered = page.jobs.submit("sketch-image", {"prompt": "a lighthouse"})
        assert next(each for each in heard if each.type == "job.succeeded").job_id == ordered.id
        heard.close()
        with pytest.raises(errors.PaymentRequired) as spent:
            page.jobs.submit("sketch-image", {"prompt": "a third"})
        assert spent.value.code == "token_spent"
        with pytest.raises(errors.PermissionDenied):
            page.webhooks.list().first()


def test_every_route_is_there_and_understands_what_it_is_sent(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"no picture")
    chosen: dict[str, Any] = {"files.upload": {"file": path}}
    outcomes: dict[str, Exception | None] = {}
    with Headrace(admin_key(), running.system.url, patience_seconds=0) as client:
        for name, method in sorted(methods(client), key=lambda each: each[0] in LAST):
            if name.startswith(NOT_HERE):
                continue
            try:
                called(method, **chosen.get(name, {}))
                outcomes[name] = None
            except errors.HeadraceError as error:
                outcomes[name] = error
    refused = {name: error for name, error in outcomes.items() if isinstance(error, errors.Refused)}
    odd = {name: error for name, error in outcomes.items() if error is not None and name not in refused}
    assert odd == {}
    no_route = {name: error for name, error in refused.items() if error.status == 405 or error.detail == "Not Found"}
    assert no_route == {}
    unknown = {
        name: str(error) for name, error in refused.items() if "Extra inputs" in error.detail or error.status >= 500
    }
    assert unknown == {}
    assert len(outcomes) > 200
    well = [name for name, error in outcomes.items() if error is None]
    assert len(well) > 60, len(well)
    print(f"{len(outcomes)} methods, {len(well)} answered well")


def test_models_and_plans_are_listed(running: Running) -> None:
    with running.client(account()) as client:
        names = [each.id for each in client.models.list(limit=2)]
        assert {"quick", "sketch-image"} <= set(names)
        assert isinstance(client.plans.list().first(), models.PlanPage)
