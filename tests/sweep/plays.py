"""What processes of ours do for a job, step by step: one play for each kind of way through the system.

A step that is not `seen` is made without being counted: it is swept in another kind. A fault may change what there is to
do, so a play looks at nothing; the driver's rounds afterwards bring everything to its end.
"""

import base64
from functools import partial
from typing import Any

from common.settings import settings
from models.accounts import paid_periods
from models.db import transaction
from models.events import endpoints
from models.jobs import steps
from tests.far_side.queue_server import png

MONTH = 32 * 86_400


def at_once(run: Any) -> None:
    """Ordered and done in one step; the order itself is swept as well."""
    run.submit(seen=True)
    run.work()


def worked(run: Any) -> None:
    run.submit()
    run.work()


def ripen(run: Any) -> None:
    """What is under way at the providers is ready."""
    run.house.far.ripen()
    run.house.book.execute("update generations set ready_at = ready_at - 20000")


def polled(run: Any) -> None:
    """Started, asked while it is under way, asked when it is done."""
    run.submit()
    run.work()
    run.work()
    ripen(run)
    run.work()


def called_back(run: Any) -> None:
    """The provider calls when it is done; a call of its progress comes before."""
    run.submit()
    run.work()
    call_back(run)
    ripen(run)
    call_back(run)
    run.work()


def called_early(run: Any) -> None:
    """The provider calls while its answer to the start is still on its way."""

    def early() -> None:
        ripen(run)
        call_back(run, seen=False)

    run.submit()
    run.house.boundary.at_start = early
    run.work()
    run.work()


def call_back(run: Any, *, seen: bool = True) -> None:
    """The provider tells how all that it has begun stands."""
    ask = run.api if seen else run._unseen
    for call in run.house.far.calls_back(run.kind.provider):
        ask("POST", call.path, content=call.body, headers={**call.headers, "content-type": "application/json"})


def called_again(run: Any) -> None:
    """A provider calls again until it is answered well."""
    if run.house.rows("select 1 from job_runs where account_id = %s", run.account_id):
        call_back(run, seen=False)


def canceled_waiting(run: Any) -> None:
    job = run.submit()
    cancel(run, job)


def canceled_running(run: Any) -> None:
    """It is under way at the provider when the client gives it up."""
    job = run.submit()
    run.work(seen=False)
    cancel(run, job)
    run.work()


def canceled_ready(run: Any) -> None:
    """It is done at the provider when the client gives it up."""
    job = run.submit()
    run.work(seen=False)
    ripen(run)
    cancel(run, job)
    run.work()


def canceled_asking(run: Any) -> None:
    """The client gives it up while the worker waits for the answer."""
    job = run.submit()
    run.house.boundary.at_start = partial(run._unseen, "POST", f"/v1/jobs/{job}/cancel")
    run.work()
    run.house.boundary.answered()  # a worker that asked nobody has not kept the client from it


def cancel(run: Any, job: str) -> None:
    run.api("POST", f"/v1/jobs/{job}/cancel")


def tried_again(run: Any) -> None:
    """The first attempt fails there; the second does not."""
    run.submit()
    run.work()
    run.due()
    run.duty("retry_due")
    run.work()


def given_up(run: Any) -> None:
    """It never becomes ready, and its time runs out."""
    run.submit()
    run.work(seen=False)
    run.pass_time(700)
    run.work()


def rescued(run: Any) -> None:
    """A worker was lost with the job in its hands."""
    lose_worker(run)
    run.duty("rescue", "ring_due")
    run.work()


def rescued_too_often(run: Any) -> None:
    lose_worker(run)
    run.house.change(
        "update job_runs set rescues = %s, wake_at = app_now() - interval '1 second' where account_id = %s",
        settings().max_rescues, run.account_id,
    )  # fmt: skip
    run.duty("rescue")


def lose_worker(run: Any) -> None:
    job = run.submit()
    with run.house.boundary.unseen(), transaction() as conn:
        steps.claim(conn, job, "a worker that is no more")
    run.due()


def ordered_again(run: Any) -> None:
    """A job that failed is ordered again by its client."""
    job = run.submit()
    run.work(seen=False)
    found = run.api("POST", f"/v1/jobs/{job}/retry", headers={"idempotency-key": f"{run.tag}-again"})
    if "id" in found:
        run.job_ids.append(found["id"])
    run.work()


def with_upload(run: Any) -> None:
    """The input is a file that was uploaded."""
    run.submit(seen=True, input={"image_url": upload(run, seen=False)})
    run.work()


def with_address(run: Any) -> None:
    """The input is fetched from where the client says it is."""
    run.submit(seen=True, input={"image_url": f"http://{run.house.far.place('input')}/{run.tag}.png"})
    run.work()


def with_data(run: Any) -> None:
    """The input comes with the order."""
    data = "data:image/png;base64," + base64.b64encode(png(run.tag)).decode()
    run.submit(seen=True, input={"image_url": data})
    run.work()


def upload(run: Any, *, seen: bool) -> str:
    ask = run.api if seen else run._unseen
    found = ask("POST", "/v1/files", files={"file": ("a.png", png(run.tag), "image/png")})
    return str(found.get("id", "file_" + "0" * 32))


def uploaded(run: Any) -> None:
    """A file is uploaded, deleted, and its object is purged; another runs out by itself."""
    found = upload(run, seen=True)
    run.api("DELETE", f"/v1/files/{found}")
    upload(run, seen=False)
    run.age("uploads")
    run.duty("expire_uploads")
    run.age("uploads")
    run.duty("purge_uploads")


def purged(run: Any) -> None:
    """Results run out, and their objects are purged."""
    worked_unseen(run)
    run.age("assets")
    run.duty("expire_results")
    run.age("assets")
    run.duty("purge_results")


def reaped(run: Any) -> None:
    """An object that is nobody's lies beside a result; the reaper takes the one and leaves the other."""
    from models.fleet import processes
    from storage import keys
    from storage.s3 import storage

    worked_unseen(run)
    with run.house.boundary.unseen():
        known = run.house.rows("select key from assets where account_id = %s", run.account_id)[0][0]
        stray = known.rpartition("/")[0] + "/" + keys_beside(known)
        storage().put_bytes(stray, b"nobody's", "image/png")
        assert keys.parse(stray)
        with transaction() as conn:
            processes.take_turn(conn, "reap_strays", 0)
            processes.set_cursor(conn, "reap_strays", f"results/{run.account_id}/")
    run.duty("reap_strays")


def keys_beside(known: str) -> str:
    """The name of an object beside this one, of another number."""
    name = known.rpartition("/")[2]
    number, dash, rest = name.partition("-")
    return f"{int(number) + 7}{dash}{rest}"


def worked_unseen(run: Any) -> None:
    run.submit()
    run.work(seen=False)


def subscribed(run: Any) -> None:
    """Months begin, then the subscription ends and its last credits lapse."""
    with run.house.boundary.unseen(), transaction() as conn:
        paid_periods.subscribe(conn, run.account_id, "starter", "yearly")
    pass_months(run, 1)
    twice(run, "grant_periods", "expire_grants")
    pass_months(run, 12)
    twice(run, "expire_subscriptions", "expire_grants")


def twice(run: Any, *names: str) -> None:
    """A turn that failed is followed by another, long before a month has passed."""
    run.duty(*names)
    run.house.passed += 60
    run.duty(*names, seen=False)


def pass_months(run: Any, count: int) -> None:
    run.shift("subscriptions", "account_id = %s", count * MONTH)
    run.shift("grants", "account_id = %s and kind = 'plan'", count * MONTH)


def told_endpoint(run: Any) -> None:
    """An endpoint of the account's is told all that happens."""
    with run.house.boundary.unseen(), transaction() as conn:
        endpoints.create(conn, run.account_id, run.house.receiver.url, [])
    run.submit(seen=True)
    run.work()
    run.deliver()


def told_address(run: Any) -> None:
    """An address that the job brought is told its end."""
    run.submit(webhook=run.house.receiver.url)
    run.work()
    run.deliver()


def mailed(run: Any) -> None:
    """A person is written to, since their subscription has ended."""
    run.house.change(
        "update users set email = 'somebody@example.com' where id = (select user_id from accounts where id = %s)",
        run.account_id,
    )
    with run.house.boundary.unseen(), transaction() as conn:
        paid_periods.subscribe(conn, run.account_id, "starter", "monthly")
    pass_months(run, 2)
    run.duty("expire_subscriptions", "expire_grants", seen=False)
    run.deliver()


def in_line(run: Any) -> None:
    """A second job waits for the first one's slot."""
    run.submit()
    run.submit(key="second")
    run.work()
    run.work()
