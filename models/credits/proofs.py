"""The proof of the books in parts, so that it can go on for ever beside everything else: each part is one rule for some rows, in a transaction
of its own.

A rule's query stays as it is (`models.credits.audit`): before it stand queries under the names of its tables, with the rows that it is to
see. There are two kinds of parts.

**The round** goes through all accounts, range by range, with every rule and with all that an account has. No rule looks beyond an account, so
that all ranges together are the whole proof. The command line does all of it, a scheduler as much at a turn as it has time for.

**What is new** is proven at each turn: accounts and jobs on which something has happened since the last one. Of a ledger only that may be left out
which the database keeps from changing, by a trigger: entries. So an account's sums up to an entry are remembered (`audit_marks`) and
stand, as two entries, for all before it. Whatever nothing keeps from changing is found by the round.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.errors import QueryCanceled
from sqlalchemy import BigInteger, CheckConstraint
from sqlmodel import Field, SQLModel

from models.credits.audit import MOST_ROWS, RULES, Finding, find_broken, plan_for_many

RANGE_ACCOUNTS = 10_000
RULE_SECONDS = 60  # for which a rule may hold its snapshot
OVERLAP_SECONDS = 600  # before the last turn began: what was under way then, and clocks that differ
LAST = UUID(int=2**128 - 1)


class AuditMark(SQLModel, table=True):
    """An account's balances after an entry, up to which its ledger is proven. Entries never change, so they need not be read again."""

    __tablename__ = "audit_marks"
    __table_args__ = (CheckConstraint("available >= 0 and reserved >= 0", name="sums"),)

    account_id: UUID = Field(primary_key=True)
    entry_id: int = Field(sa_type=BigInteger, nullable=False)
    available: int = Field(sa_type=BigInteger, nullable=False)
    reserved: int = Field(sa_type=BigInteger, nullable=False)


class ProofPart(NamedTuple):
    """A rule, and which rows it is to see: of the accounts after one and up to another, or else what is new since a moment."""

    rule: str
    after: UUID | None = None
    until: UUID = LAST
    since: datetime | None = None


class TooSlow(Exception):
    """A part was not proven in RULE_SECONDS."""


def _range(column: str) -> str:
    return f"(({column} > %(after)s or %(after)s::uuid is null) and {column} <= %(until)s)"


_OF_JOBS = "job_id in (select id from jobs)"
_OF_HOLDS = "hold_id in (select id from holds)"
_OWN = "account_id in (select id from accounts)"
# In this order: what comes later sees of the earlier what is given here. Spending of a key that is nobody's is in the first range.
_ROUND = {
    "key_spending": f"""case when %(after)s::uuid is null and not exists (select 1 from api_keys k where k.id = key_id) then true
                             else key_id in (select k.id from api_keys k where {_range("k.account_id")}) end""",
    "accounts": _range("id"),
    "jobs": f"({_range('account_id')} or {_range('past_account_id')})",
    **{
        name: _range("account_id")
        for name in (
            "api_keys", "assets", "deliveries", "events", "grants", "holds", "job_runs", "label_limits", "label_spending", "ledger_entries",
            "payments", "stored_kinds", "subscriptions", "uploads", "usage", "usage_entries", "webhook_endpoints",
        )
    },
    **dict.fromkeys(("attempts", "reservations", "reservation_grants"), _OF_JOBS),
    "hold_grants": _OF_HOLDS,
}  # fmt: skip
# The ids are gathered first, so that all else is found by them: of a condition on two columns the planner may think that it fits many.
_NEW_IDS = (
    "array(select id from jobs where id >= %(since_id)s union all select id from jobs where ended_at > %(since)s)"
)
_NEW_JOBS = {
    **dict.fromkeys(
        ("assets", "attempts", "events", "job_runs", "reservations", "reservation_grants"), f"job_id = any({_NEW_IDS})"
    ),
    "jobs": f"id = any({_NEW_IDS})",
    "holds": "id >= %(since_id)s",
    "hold_grants": _OF_HOLDS,
}
_MOVED = {
    "accounts": "id in (select account_id from ledger_entries where created_at > %(since)s)",
    **dict.fromkeys(("grants", "holds", "job_runs", "label_limits", "subscriptions", "webhook_endpoints"), _OWN),
    "reservations": "job_id in (select job_id from job_runs)",
}
_COLUMNS = "id, account_id, kind, amount, from_bucket, to_bucket, available_after, reserved_after"
# What is remembered stands for the entries up to it: one to each of the two buckets, the later one with the mark's own number.
_LEDGER = f"""
select e.* from accounts a left join audit_marks m on m.account_id = a.id cross join lateral (
  select {_COLUMNS} from ledger_entries where account_id = a.id and id > coalesce(m.entry_id, 0)) e
union all
select m.entry_id - 1, m.account_id, 'mark', m.available, 'issued', 'available', m.available, 0 from audit_marks m where {_OWN}
union all
select m.entry_id, m.account_id, 'mark', m.reserved, 'issued', 'reserved', m.available, m.reserved from audit_marks m where {_OWN}"""
_MARK = """
insert into audit_marks (account_id, entry_id, available, reserved)
select a.account_id, e.id, e.available_after, e.reserved_after
  from (select distinct account_id from ledger_entries where created_at > %(since)s) a cross join lateral (
    select id, available_after, reserved_after from ledger_entries where account_id = a.account_id order by id desc limit 1) e
on conflict (account_id) do update
   set entry_id = excluded.entry_id, available = excluded.available, reserved = excluded.reserved
 where audit_marks.entry_id < excluded.entry_id"""

# The rules for what is new, by what they see of it. Each other rule sums up, or looks at, what nothing keeps from changing.
LEDGER_RULES = ("entries_sum_to_balances", "balances_after_follow_each_other")
NEW_RULES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(LEDGER_RULES, _MOVED),
    **dict.fromkeys(
        (
            "grants_sum_to_available", "open_reservations_sum_to_reserved", "slots_are_counted", "what_comes_is_counted",
            "label_limits_are_known_to_their_account", "webhooks_are_known_to_their_account",
            "accounts_are_on_the_plan_of_their_subscription",
        ),
        _MOVED,
    ),
    **dict.fromkeys(
        (
            "reservations_equal_their_grants", "scopes_are_kept", "resolved_reservations_settle_each_grant",
            "reservations_are_resolved_once", "living_jobs_have_runs", "results_belong_to_successes", "attempts_end_with_their_job",
            "each_job_ends_with_one_event", "holds_equal_their_grants_and_entries",
        ),
        _NEW_JOBS,
    ),
}  # fmt: skip
RULES_BY_NAME = {rule.name: rule for rule in RULES}


def moment_of_proof(conn: Connection[Any]) -> datetime:
    """The database's time, from which on what happens is new at the next turn."""
    row = conn.execute("select app_now()").fetchone()
    assert row is not None  # noqa: S101 - one row
    now: datetime = row[0]
    return now


def account_ranges(conn: Connection[Any], after: UUID | None = None) -> list[tuple[UUID | None, UUID]]:
    """The ranges of accounts after this one, which together hold every id there can be."""
    rows = conn.execute(
        """select id from (select id, row_number() over (order by id) as number from accounts
             where id > %(after)s or %(after)s::uuid is null) a where number %% %(size)s = 0 order by id""",
        {"after": after, "size": RANGE_ACCOUNTS},
    ).fetchall()
    ends = [row[0] for row in rows]
    return list(zip([after, *ends], [*ends, LAST], strict=True))


def round_parts(after: UUID | None, until: UUID) -> list[ProofPart]:
    """The parts of the round for one range of accounts."""
    return [ProofPart(rule.name, after, until) for rule in RULES]


def new_parts(since: datetime) -> list[ProofPart]:
    """The parts that prove what is new, but for the ledger."""
    return [ProofPart(name, since=since) for name in NEW_RULES if name not in LEDGER_RULES]


def prove_part(conn: Connection[Any], part: ProofPart) -> Finding | None:
    """Prove one part, in a transaction of its own. None: it holds. Raises TooSlow: then each of its `halves` may do."""
    conn.execute("set transaction isolation level repeatable read, read only")
    if part.since is None:
        plan_for_many(conn, RULE_SECONDS)
    else:  # by indices alone, as every statement of a session of ours: what is new is little
        conn.execute(f"set local statement_timeout = '{RULE_SECONDS}s'")
    try:
        return _prove(conn, part)
    except QueryCanceled:
        raise TooSlow(f"{part.rule} was not proven in {RULE_SECONDS} s") from None


def halves(conn: Connection[Any], part: ProofPart) -> list[ProofPart]:
    """Two parts of the round, each for half of the accounts of this one. Empty: it is for one account, or for what is new."""
    if part.since is not None:
        return []
    middle = conn.execute(
        f"""select id from (select id, row_number() over (order by id) as number, count(*) over () as count
                            from accounts where {_range("id")}) a where count > 1 and number = count / 2""",
        {"after": part.after, "until": part.until},
    ).fetchone()
    return [] if middle is None else [part._replace(until=middle[0]), part._replace(after=middle[0])]


def prove_ledger(conn: Connection[Any], since: datetime) -> list[Finding]:
    """Prove the ledgers that have moved since, from where they are marked, and mark them anew: in one snapshot, in a transaction of its own. Where
    a rule does not hold no mark moves.
    """
    conn.execute("set transaction isolation level repeatable read")
    conn.execute(f"set local statement_timeout = '{RULE_SECONDS}s'")
    findings = [found for name in LEDGER_RULES if (found := _prove(conn, ProofPart(name, since=since))) is not None]
    if not findings:
        conn.execute(_MARK, {"since": since})
    return findings


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a rule, in the order of the rules, with the first of the rows. Pure."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for each in findings:
        rows.setdefault(each.rule, []).extend(row for row in each.rows if row not in rows.get(each.rule, []))
    return [Finding(rule.name, rule.meaning, rows[rule.name][:MOST_ROWS]) for rule in RULES if rule.name in rows]


def _prove(conn: Connection[Any], part: ProofPart) -> Finding | None:
    values: dict[str, Any] = {"after": part.after, "until": part.until}
    shown: Mapping[str, str] = _ROUND
    if part.since is not None:
        # The smallest UUIDv7 of the moment: whatever was ordered since has a greater one.
        values = {"since": part.since, "since_id": UUID(int=int(part.since.timestamp() * 1000) << 80)}
        shown = NEW_RULES[part.rule]
    seen = [f"{name} as not materialized (select * from {name} where {which})" for name, which in shown.items()]
    if part.since is not None and part.rule in LEDGER_RULES:
        seen.append(f"ledger_entries as not materialized ({_LEDGER})")
    return find_broken(conn, RULES_BY_NAME[part.rule], before=f"with {', '.join(seen)} ", values=values)
