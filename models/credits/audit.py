"""The proof of the ledger: each rule is a query that finds what breaks it. No rows: the books are in order."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg import Connection

from common.settings import settings
from models.credits.audit_rules import SUMS_AND_EVENTS, Rule

MOST_ROWS = 20  # that are told of a rule


class Finding(NamedTuple):
    """A broken rule, with up to MOST_ROWS of the rows that break it."""

    rule: str
    meaning: str
    rows: list[dict[str, Any]]


RULES = (
    Rule(
        "entries_sum_to_balances",
        "an account's available and reserved credits are the sums of its ledger entries",
        """select a.id as account_id, a.available, coalesce(e.available, 0) as entries_available,
                  a.reserved, coalesce(e.reserved, 0) as entries_reserved
             from accounts a left join (
               select account_id,
                      sum(case when to_bucket = 'available' then amount when from_bucket = 'available' then -amount else 0 end) as available,
                      sum(case when to_bucket = 'reserved' then amount when from_bucket = 'reserved' then -amount else 0 end) as reserved
                 from ledger_entries group by account_id) e on e.account_id = a.id
            where a.available <> coalesce(e.available, 0) or a.reserved <> coalesce(e.reserved, 0)""",
    ),
    Rule(
        "balances_after_follow_each_other",
        "each entry's balances after are those of the entry before, moved by its amount",
        """select id, account_id, kind, amount, available_after, reserved_after from (
             select *, coalesce(lag(available_after) over w, 0) as available_before,
                       coalesce(lag(reserved_after) over w, 0) as reserved_before
               from ledger_entries window w as (partition by account_id order by id)) e
            where available_after <> available_before + case when to_bucket = 'available' then amount when from_bucket = 'available' then -amount else 0 end
               or reserved_after <> reserved_before + case when to_bucket = 'reserved' then amount when from_bucket = 'reserved' then -amount else 0 end""",
    ),
    Rule(
        "grants_sum_to_available",
        "what remains of an account's grants is what it has available",
        """select a.id as account_id, a.available, coalesce(sum(g.remaining), 0)::bigint as remaining
             from accounts a left join grants g on g.account_id = a.id
            group by a.id, a.available having a.available <> coalesce(sum(g.remaining), 0)""",
    ),
    Rule(
        "open_reservations_sum_to_reserved",
        "an account's open reservations and holds are what it has reserved",
        """select a.id as account_id, a.reserved, coalesce(sum(v.amount), 0)::bigint as open
             from accounts a left join (
               select account_id, amount from reservations where resolution is null
               union all select account_id, amount - settled - released from holds where ended is null) v on v.account_id = a.id
            group by a.id, a.reserved having a.reserved <> coalesce(sum(v.amount), 0)""",
    ),
    Rule(
        "reservations_equal_their_grants",
        "a reservation is the sum of what it took from grants, and so is what it settled",
        """select v.job_id, v.amount, v.settled, coalesce(sum(l.amount), 0)::bigint as taken, sum(l.settled)::bigint as grants_settled
             from reservations v left join reservation_grants l on l.job_id = v.job_id
            group by v.job_id, v.amount, v.settled, v.resolution having v.amount <> coalesce(sum(l.amount), 0)
                or (v.resolution is not null and v.settled <> coalesce(sum(l.settled), 0))
                or (v.resolution is null and count(l.settled) > 0)""",
    ),
    Rule(
        "holds_equal_their_grants_and_entries",
        "a hold is the sum of what it took from grants, of each it settled and released no more, and its entries say the same",
        """select h.id as hold_id, h.amount, h.settled, h.released, l.amount as taken, l.settled as grants_settled,
                  l.released as grants_released, e.reserves, e.settles, e.refunds
             from holds h
             left join lateral (select coalesce(sum(amount), 0) as amount, coalesce(sum(settled), 0) as settled,
                                       coalesce(sum(released), 0) as released from hold_grants where hold_id = h.id) l on true
             left join lateral (
               select coalesce(sum(amount) filter (where kind = 'reserve'), 0) as reserves,
                      coalesce(sum(amount) filter (where kind = 'settle'), 0) as settles,
                      coalesce(sum(amount) filter (where kind = 'refund'), 0) as refunds
                 from ledger_entries where hold_id = h.id) e on true
            where (h.amount, h.settled, h.released) is distinct from (l.amount, l.settled, l.released)
               or (h.amount, h.settled, h.released) is distinct from (e.reserves, e.settles, e.refunds)""",
    ),
    Rule(
        "scopes_are_kept",
        "credits that are for some models or kinds were used for these alone",
        """select j.id as job_id, null::uuid as hold_id, l.grant_id from reservation_grants l join grants g on g.id = l.grant_id
             join jobs j on j.id = l.job_id join models m on m.id = j.model_id and m.version = j.model_version
            where (g.models is not null or g.kinds is not null)
              and not (j.model_id = any(coalesce(g.models, '{}')) or m.kind = any(coalesce(g.kinds, '{}')))
           union all
           select null, h.id, l.grant_id from hold_grants l join grants g on g.id = l.grant_id join holds h on h.id = l.hold_id
            where (g.models is not null or g.kinds is not null)
              and not (coalesce(h.model = any(g.models), false) or coalesce(h.kind = any(g.kinds), false))""",
    ),
    Rule(
        "resolved_reservations_settle_each_grant",
        "what was taken from a grant is settled, be it with 0, once its reservation is resolved, so that nothing counts as held for ever",
        """select v.job_id, v.resolution, l.grant_id, l.amount
             from reservations v join reservation_grants l on l.job_id = v.job_id
            where v.resolution is not null and l.settled is null""",
    ),
    Rule(
        "grants_are_accounted_for",
        "a grant's credits remain, are held or spent by jobs and holds, have expired or were revoked (a debt that it paid included)",
        """select g.id as grant_id, g.amount, g.remaining, coalesce(l.used, 0) as used, coalesce(e.gone, 0) as gone
             from grants g
             left join (select grant_id, sum(used) as used from (
                          select grant_id, coalesce(settled, amount) as used from reservation_grants
                          union all select grant_id, amount - released from hold_grants) u group by grant_id) l
               on l.grant_id = g.id
             left join (select grant_id, sum(amount) as gone from ledger_entries
                         where kind in ('expire', 'revoke') group by grant_id) e on e.grant_id = g.id
            where g.amount <> g.remaining + coalesce(l.used, 0) + coalesce(e.gone, 0)""",
    ),
    Rule(
        "debts_are_spent_credits_of_revoked_grants",
        "an account owes what was spent of grants that were taken back, in whole or in part, less what its other grants have paid of it",
        """select a.id as account_id, a.debt, coalesce(x.owed, 0) as owed
             from accounts a left join (
               select g.account_id,
                      sum(case when g.revoked_at is null
                               then g.taken_owed + (g.taken_back - g.taken_owed - g.taken_gone) - coalesce(e.paid, 0)
                               else coalesce(l.spent, 0) end) as owed
                 from grants g
                 left join (select grant_id, sum(settled) as spent from (
                              select grant_id, settled from reservation_grants
                              union all select grant_id, settled from hold_grants) u group by grant_id) l
                   on l.grant_id = g.id
                 left join (select grant_id, sum(amount) as paid from ledger_entries where kind = 'revoke' group by grant_id) e
                   on e.grant_id = g.id
                group by g.account_id) x on x.account_id = a.id
            where a.debt <> coalesce(x.owed, 0)""",
    ),
    Rule(
        "keys_spend_what_their_jobs_hold_or_cost",
        "what a key with a budget has spent in a month is what the jobs that its successors, or keys that they made, ordered in that month hold, or have cost",
        # Months before this one may be forgotten; what is kept of them is right.
        """select key_id, month, s.credits as spent, c.credits as of_jobs
             from key_spending s full join (
               select l.key_id, date_trunc('month', x.created_at at time zone 'UTC')::date as month, sum(x.credits)::bigint as credits
                 from (select j.api_key_id, j.created_at, v.amount - coalesce(v.refunded, 0) as credits
                         from jobs j join reservations v on v.job_id = j.id
                       union all select api_key_id, created_at, amount - released from holds) x
                 join api_keys k on k.id = x.api_key_id
                cross join lateral unnest(k.lineage || coalesce(k.root_id, k.id)) as l(key_id) group by 1, 2
             ) c using (key_id, month) left join api_keys k on k.id = key_id
            where coalesce(s.credits, 0) <> coalesce(c.credits, 0)
              and (s.credits is not null
                   or (k.monthly_credits is not null and month >= date_trunc('month', app_now() at time zone 'UTC')::date))""",
    ),
    Rule(
        "labels_spend_what_their_orders_hold_or_cost",
        "label spending is what the jobs and holds that were made with the label in the month hold, or have cost",
        # Months of before a limit was set are not counted; what is kept is right.
        """select account_id, name, value, month, s.credits as spent, c.credits as of_orders
             from label_spending s full join (
               select x.account_id, l.name, l.value, date_trunc('month', x.created_at at time zone 'UTC')::date as month,
                      sum(x.credits)::bigint as credits
                 from (select coalesce(j.account_id, j.past_account_id) as account_id, j.labels, j.created_at, v.amount - coalesce(v.refunded, 0) as credits
                         from jobs j join reservations v on v.job_id = j.id where j.labels is not null
                       union all select account_id, labels, created_at, amount - released from holds where labels is not null) x
                cross join lateral jsonb_each_text(x.labels) as l(name, value) group by 1, 2, 3, 4
             ) c using (account_id, name, value, month)
            where coalesce(s.credits, 0) <> coalesce(c.credits, 0)
              and (s.credits is not null
                   or (month >= date_trunc('month', app_now() at time zone 'UTC')::date
                       and exists (select 1 from label_limits m where m.account_id = c.account_id and m.name = c.name
                                      and m.value in (c.value, '*'))))""",
    ),
    Rule(
        "reservations_are_resolved_once",
        "an ended job's reservation is resolved as the job says, a living job's is open, and the entries agree",
        """select j.id as job_id, j.ended, j.price_credits, v.amount, v.resolution, v.settled, v.refunded, e.reserves, e.settles, e.refunds
             from jobs j left join reservations v on v.job_id = j.id
             left join lateral (
               select coalesce(sum(amount) filter (where kind = 'reserve'), 0) as reserves,
                      coalesce(sum(amount) filter (where kind = 'settle'), 0) as settles,
                      coalesce(sum(amount) filter (where kind = 'refund'), 0) as refunds
                 from ledger_entries where job_id = j.id) e on true
            where v.job_id is null or v.amount <> j.price_credits or e.reserves <> v.amount
               or (j.ended is null) <> (v.resolution is null) or j.resolution is distinct from v.resolution
               or e.settles <> coalesce(v.settled, 0) or e.refunds <> coalesce(v.refunded, 0)
               or coalesce(j.charged_credits, 0) <> coalesce(v.settled, 0)""",
    ),
    Rule(
        "living_jobs_have_runs",
        "every job that has not ended has its run, and no other has",
        """select coalesce(j.id, r.job_id) as job_id, j.ended from jobs j full join job_runs r on r.job_id = j.id
            where (j.ended is null) <> (r.job_id is not null) or r.account_id <> j.account_id""",
    ),
    Rule(
        "nothing_is_made_or_lost",
        "all credits ever issued are available, reserved, spent, expired or revoked",
        """select issued, available, reserved, spent, expired, revoked from (
             select coalesce(sum(amount) filter (where from_bucket = 'issued'), 0) as issued,
                    coalesce(sum(amount) filter (where to_bucket = 'spent'), 0) as spent,
                    coalesce(sum(amount) filter (where to_bucket = 'expired'), 0) as expired,
                    coalesce(sum(amount) filter (where to_bucket = 'revoked'), 0) as revoked,
                    (select coalesce(sum(available), 0) from accounts) as available,
                    (select coalesce(sum(reserved), 0) from accounts) as reserved
               from ledger_entries) x
            where issued <> available + reserved + spent + expired + revoked""",
    ),
    Rule(
        "periods_are_granted_once",
        "a subscription's period has one grant that was not taken back, and none before it has begun",
        """select x.account_id, x.subscription, x.period, count(*) as grants, max(s.periods_granted) as begun from (
             select account_id, split_part(ref, ':', 2) as subscription, split_part(ref, ':', 3) as period
               from grants where kind = 'plan' and revoked_at is null and ref ~ '^plan:[0-9a-f-]{36}:(trial|[0-9]+)(:|$)') x
             left join subscriptions s on s.id = x.subscription::uuid and s.account_id = x.account_id
            group by x.account_id, x.subscription, x.period
           having count(*) > 1 or count(s.id) = 0
               or (x.period <> 'trial' and x.period::int >= max(s.periods_granted))""",
    ),
    Rule(
        "accounts_are_on_the_plan_of_their_subscription",
        "an account with a subscription that lives is on that plan; any other is on the default or one of its own",
        """select a.id as account_id, a.plan_id, s.plan_id as subscribed from subscriptions s join accounts a on a.id = s.account_id
            where s.status in ('trial', 'active', 'past_due') and s.plan_id <> a.plan_id""",
    ),
    Rule(
        "grants_were_issued",
        "every grant has its one entry, of its amount",
        """select g.id as grant_id, g.amount, e.amount as entry from grants g
             left join ledger_entries e on e.grant_id = g.id and e.kind = 'grant' where e.amount is distinct from g.amount""",
    ),
    Rule(
        "payments_gave_what_is_due",
        "a payment of a pack has given as many credits as the money that is here is worth, and its grants say the same, but for what an operator took of them",
        """select p.id as payment_id, p.status, p.credits, p.credits_given, d.due, coalesce(g.given, 0) as granted
             from payments p
            cross join lateral (
              select case when p.money <> 'paid' then 0 when p.price = 0 then p.credits
                          when p.paid_currency <> p.currency or p.dispute in ('open', 'lost') then 0
                          else floor(p.credits * greatest(0, least(p.paid - p.refunded, p.price)) / p.price) end as due) d
             left join (
               select split_part(ref, ':', 2) as payment, sum(amount - taken_back) as given, sum(taken_by_hand) as by_hand from grants
                where kind = 'purchase' and ref like 'payment:%' group by 1) g on g.payment = p.id::text
            where p.credits_given not between coalesce(g.given, 0) and coalesce(g.given + g.by_hand, 0)
               or (p.purpose in ('pack', 'refill') and p.credits_given <> d.due)""",
    ),
    Rule(
        "results_belong_to_successes",
        "only jobs that succeeded have results, and every result's job succeeded",
        """select s.job_id, j.ended from assets s join jobs j on j.id = s.job_id where j.ended is distinct from 'succeeded'""",
    ),
    Rule(
        "attempts_end_with_their_job",
        "an ended job has no live attempt",
        """select a.job_id, a.number, a.phase, j.ended from attempts a join jobs j on j.id = a.job_id
            where a.ended_at is null and j.ended is not null""",
    ),
    *SUMS_AND_EVENTS,
)


def audit(conn: Connection[Any]) -> list[Finding]:
    """Check every rule in one snapshot, however long that takes; `models.credits.proofs` does it in parts. Empty: every credit is accounted for."""
    conn.execute("set transaction isolation level repeatable read, read only")
    plan_for_many(conn, 600)
    return [found for rule in RULES if (found := find_broken(conn, rule)) is not None]


def plan_for_many(conn: Connection[Any], seconds: int) -> None:
    """Let this transaction's statements read much, for so long each."""
    conn.execute(f"set local statement_timeout = '{seconds}s'")
    for plan in ("seqscan", "hashjoin", "mergejoin"):  # see models.connecting
        conn.execute(f"set local enable_{plan} = on")


def find_broken(
    conn: Connection[Any], rule: Rule, *, before: str = "", values: Mapping[str, Any] | None = None
) -> Finding | None:
    """What breaks a rule. `before`, which `values` are for, says which rows it is to see of its tables. None: it holds."""
    query = rule.query.replace("%", "%%") if values is not None else rule.query
    cursor = conn.execute(f"{before}select * from ({query}) broken limit {MOST_ROWS}", values)
    rows = cursor.fetchall()
    if not rows:
        return None
    names = [column.name for column in cursor.description or ()]
    return Finding(rule.name, rule.meaning, [dict(zip(names, row, strict=True)) for row in rows])


def stuck(conn: Connection[Any]) -> list[dict[str, Any]]:
    """Jobs that nothing will move: due for longer than ten pauses. For `doctor`; the books may still be in order."""
    rows = conn.execute(
        """select job_id, status, wake_at from job_runs
            where wake_at < app_now() - make_interval(secs => %s) order by wake_at limit 20""",
        [10 * settings().ring_again_seconds],
    ).fetchall()
    return [dict(zip(("job_id", "status", "wake_at"), row, strict=True)) for row in rows]
