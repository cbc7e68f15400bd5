"""What must hold after every run, by the provider's own book, the bucket's own list and the audit."""

import hashlib
from typing import Any
from uuid import UUID

from models.credits.audit import audit
from models.db import transaction
from storage.s3 import StorageError, storage
from tests.sweep.far import Generation
from tests.sweep.run import Run

LIVE = ("intent", "accepted", "unknown", "delivered")


def check(run: Run) -> None:
    """Everything but the audit, which looks at many runs at once."""
    with run.house.boundary.unseen():
        jobs = _jobs(run)
        _ended(run, jobs)
        _attempts(run)
        _paid(run, jobs)
        _account(run)
        _bucket(run)
        _slots(run)
        _deliveries(run)
        if run.kind.check is not None:
            run.kind.check(run)


def _jobs(run: Run) -> dict[str, dict[str, Any]]:
    found = run.house.rows(
        """select j.id::text, j.ended, j.error_code, j.error_message, j.charged_credits, r.status, r.reason, j.attempts,
                  (select count(*) from assets a where a.job_id = j.id)
             from jobs j left join job_runs r on r.job_id = j.id where j.account_id = %s""",
        run.account_id,
    )
    names = ("id", "ended", "code", "message", "charged", "status", "reason", "attempts", "assets")
    return {row[0]: dict(zip(names, row, strict=True)) for row in found}


def _ended(run: Run, jobs: dict[str, dict[str, Any]]) -> None:
    """Each accepted job is there, and has ended as it ends without faults, unless its fault may cost it its result."""
    refused = any(rule == "answered_wrong" for rule, _ in run.problems)  # its client was told that it cannot be done
    if set(jobs) != set(run.job_ids) and not refused:
        run.problem("jobs_differ", f"accepted {run.job_ids}, there are {sorted(jobs)}")
    for job in jobs.values():
        if job["ended"] is None:
            run.problem("stuck", f"{job['status']}: {job['reason']}; {run.raised[-3:]}")
        elif job["ended"] in run.kind.ends:
            _as_promised(run, job)
        elif not refused and not _excused(run, job):
            begun = len(_begun(run, job))
            rule = "ended_wrong" if job["ended"] == "succeeded" else "result_lost" if begun else "parked_for_nothing"
            run.problem(rule, f"{job['ended']} {job['code']}: {job['message']}; {begun} begun; {run.raised[-2:]}")


def _as_promised(run: Run, job: dict[str, Any]) -> None:
    costs = {"succeeded": run.kind.charged, "canceled": run.kind.given_up}.get(job["ended"], 0)
    if job["charged"] != costs:
        run.problem("charged_wrong", f"{job['charged']} credits, it is {costs}")
    if job["ended"] == "succeeded" and job["assets"] != run.kind.outputs:
        run.problem("outputs_wrong", f"{job['assets']} results, there were {run.kind.outputs}")


def _excused(run: Run, job: dict[str, Any]) -> bool:
    """Whether a job may have ended without its result: border.md, section 5."""
    begun = _begun(run, job)
    if run.kind.cancels and job["ended"] == "canceled" and not begun:
        return True
    if run.house.boundary.excused and run.kind.mute and not (run.kind.tells and begun):
        return True  # W1, W2
    killed = any(way == "kill" for _, way, _ in run.house.boundary.happened)
    return run.kind.mute and killed and not begun  # W0: nobody knows that it was not called


def _begun(run: Run, job: dict[str, Any]) -> list[Generation]:
    return [each for each in generations(run) if each.job_id == job["id"]]


def generations(run: Run) -> list[Generation]:
    """What the provider of this kind began, by its own book."""
    if run.kind.provider != "sketch":
        return run.house.far.generations(run.kind.provider)
    found = run.house.book.execute("select idempotency_key, state from generations").fetchall()
    parts = [(key.rpartition(":"), state) for key, state in found]
    return [Generation(job, int(number), state != "running") for (job, _, number), state in parts]


def _attempts(run: Run) -> None:
    """What was begun is on record; nothing is left live."""
    found = run.house.rows(
        """select a.job_id::text, a.number, a.phase, a.error_code, a.cost_usd_micros
             from attempts a join jobs j on j.id = a.job_id where j.account_id = %s and j.ended is not null""",
        run.account_id,
    )
    for job, number, phase, _, cost in found:
        if phase in LIVE:
            run.problem("attempt_live", f"attempt {number} of {job} is {phase}")
        if phase == "done" and cost != run.kind.options.get("cost_usd_micros"):
            run.problem("cost_wrong", f"attempt {number} of {job} cost {cost}")
    known = {(job, number): (phase, code) for job, number, phase, code, _ in found}
    for each in generations(run):
        if (each.job_id, each.number) not in known:
            run.problem("not_on_record", f"the provider began {each.job_id}:{each.number}")
        elif known[each.job_id, each.number][1] in {"never_began", "unreachable"}:
            run.problem("not_on_record", f"{each.job_id}:{each.number} is on record as never begun")


def _paid(run: Run, jobs: dict[str, dict[str, Any]]) -> None:
    """No second generation beside one that did not fail at the provider."""
    for job in jobs:
        good = [each for each in generations(run) if each.job_id == job and not each.failed]
        lost = run.kind.forgets and run.house.boundary.excused
        if len(good) > 1 and not lost:
            run.problem("bought_twice", f"attempts {[each.number for each in good]} of {job}")


def _account(run: Run) -> None:
    """No slot is held, nothing is reserved."""
    slots, reserved = run.house.rows(
        "select slots_in_use, reserved from accounts where id = %s", run.account_id
    )[0]  # fmt: skip
    living = run.house.rows("select count(*) from job_runs where account_id = %s", run.account_id)[0][0]
    if not living and (slots or reserved):
        run.problem("account_holds", f"{slots} slots, {reserved} credits reserved")


def _bucket(run: Run) -> None:
    """Each asset has its object, with the right bytes; what is there besides is nobody's, and is gone by now."""
    wanted: dict[str, bytes | None] = {}
    for key, thumbnail, sha in run.house.rows(
        "select key, thumbnail_key, sha256 from assets where account_id = %s and purged_at is null", run.account_id
    ):
        wanted[key] = bytes(sha)
        if thumbnail:
            wanted[thumbnail] = None
    for key, sha in run.house.rows(
        "select key, sha256 from uploads where account_id = %s and purged_at is null", run.account_id
    ):
        wanted[key] = bytes(sha)
    for key, digest in wanted.items():
        try:
            with storage().get_range(key).chunks as chunks:
                data = b"".join(chunks)
        except StorageError as error:
            run.problem("object_missing", f"{key}: {error}")
            continue
        if (digest is not None and hashlib.sha256(data).digest() != digest) or not data:
            run.problem("object_wrong", f"{key} has {len(data)} bytes, which are not what was measured")
        elif digest is None and data[8:12] != b"WEBP":
            run.problem("object_wrong", f"the thumbnail {key} is none")
    there = {
        item.key
        for prefix in sorted(run.house.boundary.folders)
        for item in storage().list_page(f"{prefix}/{run.account_id}/", None, 100)
    }
    if strays := there - set(wanted):
        run.problem("stray_left", f"{sorted(strays)}")


def _slots(run: Run) -> None:
    """The provider's slots in Redis are free, unless the fault was Redis' own, or the process's that held one."""
    if any(way == "kill" or call.sort == "redis" for _, way, call in run.house.boundary.happened):
        return
    for key in run.house.redis.scan_iter("headrace:provider:*:slots*"):
        held = run.house.redis.zrange(key, 0, -1)
        if held:
            run.problem("slot_kept", f"{key!r}: {held}")


def _deliveries(run: Run) -> None:
    """What was told arrived at least once, and its attempts are on record."""
    came = set(run.house.receiver.ids())
    came |= {str(each["Message-ID"]).strip("<>").partition("@")[0] for each in run.house.box.got}
    for delivery, status, attempts, entries in run.house.rows(
        "select id::text, status, attempts, jsonb_array_length(log) from deliveries where account_id = %s",
        run.account_id,
    ):
        if status != "delivered" or delivery not in came:
            run.problem("undelivered", f"{delivery} is {status} after {attempts} attempts; came: {delivery in came}")
        elif not attempts or not entries:
            run.problem("attempt_forgotten", f"delivery {delivery}: {attempts} attempts, {entries} entries")


def broken_rules() -> list[tuple[str, str, set[UUID]]]:
    """Each rule that is broken: its name, what is seen, and whose it is."""
    with transaction() as conn:
        findings = audit(conn)
        jobs: dict[UUID, UUID] = {}
        for finding in findings:
            for row in finding.rows:
                if row.get("account_id") is None and (job := row.get("job_id")) is not None:
                    owner = conn.execute("select account_id from jobs where id = %s", [job]).fetchone()
                    if owner:
                        jobs[job] = owner[0]
    return [
        (
            f"audit:{finding.rule}", str(row)[:300],
            {each for each in (row.get("account_id"), jobs.get(row.get("job_id"))) if each is not None},
        )
        for finding in findings for row in finding.rows
    ]  # fmt: skip
