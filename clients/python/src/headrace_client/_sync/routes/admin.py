"""`client.admin`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import (
    AccountPayment,
    AccountPaymentPage,
    Act,
    Acted,
    ActPage,
    Announcement,
    AnnouncementPage,
    BalanceAfter,
    BulkAnswer,
    BulkRun,
    BulkRunPage,
    Drained,
    Erasure,
    FoundJob,
    FoundJobPage,
    JobFilter,
    Overview,
    Pause,
    Pauses,
    Promotion,
    PromotionPage,
    ProviderStandings,
    Replayed,
    Rested,
    Stats,
    Story,
    Subscription,
    UsageTable,
    User,
    UserPage,
    Workers,
)


class AdminRoutes:
    """`client.admin`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def change_account_plan(
        self,
        account_id: str,
        *,
        plan: str,
        reason: str,
        when: Literal["now", "period_end"] | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> Subscription:
        """Change a plan by hand. `POST /v1/admin/accounts/{account_id}/change-plan`.

        The paid time stays. A subscription that Stripe renews can only be changed there.

        Args:
            plan: A plan's id.
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/accounts/{account_id}/change-plan",
                at={"account_id": account_id},
                body={"plan": plan, "reason": reason, "when": when},
                once=True,
                key=idempotency_key,
            ),
            Subscription,
        )

    def erase_account(self, account_id: str, *, reason: str, dry_run: bool | Omit = OMIT) -> Erasure:
        """Erase a person. `POST /v1/admin/accounts/{account_id}/erase`.

        Nobody is let in as them from now on; what they wrote, their files, names and addresses go within minutes. It cannot be undone. The ledger,
        payments and the audit log stay, and name nobody. Again, it tells how far it is; `dry_run` tells what would go.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/accounts/{account_id}/erase",
                at={"account_id": account_id},
                body={"reason": reason, "dry_run": dry_run},
            ),
            Erasure,
        )

    def export_account(self, account_id: str) -> Iterator[dict[str, Any]]:
        """Export an account. `GET /v1/admin/accounts/{account_id}/export`.

        The same of any account, for who asked its operator. It is in the audit log that it was exported.
        """
        return self._sender.ask_lines(
            Call("GET", "/v1/admin/accounts/{account_id}/export", at={"account_id": account_id})
        )

    def give_credits(
        self,
        account_id: str,
        *,
        amount: int,
        reason: str,
        expires_at: dt.datetime | Omit | None = OMIT,
        kind: Literal["gift", "goodwill", "purchase"] | Omit = OMIT,
        kinds: Sequence[Literal["image", "video", "speech", "text"]] | Omit = OMIT,
        models: Sequence[str] | Omit = OMIT,
        priority: int | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> BalanceAfter:
        """Give credits. `POST /v1/admin/accounts/{account_id}/grants`.

        A debt is paid from them first.

        Args:
            reason: Why, for the audit log.
            models: What alone they pay for; with `kinds`, what either names. Empty: for all.
            priority: Credits of a higher one are used first, then those that expire first.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/accounts/{account_id}/grants",
                at={"account_id": account_id},
                body={
                    "amount": amount,
                    "reason": reason,
                    "expires_at": expires_at,
                    "kind": kind,
                    "kinds": kinds,
                    "models": models,
                    "priority": priority,
                },
                once=True,
                key=idempotency_key,
            ),
            BalanceAfter,
        )

    def replay_account(
        self,
        account_id: str,
        *,
        reason: str,
        since: dt.datetime,
        endpoint_id: str | Omit | None = OMIT,
        until: dt.datetime | Omit | None = OMIT,
        which: Literal["failed", "all"] | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> Replayed:
        """Send an account's webhooks again. `POST /v1/admin/accounts/{account_id}/replay`.

        To one of its endpoints, or to the addresses that its jobs brought; 10,000 at most: ask again until it is less.

        Args:
            reason: Why, for the audit log.
            since: Without an offset: UTC.
            endpoint_id: Null: to addresses that jobs brought.
            which: `failed`: what did not arrive.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/accounts/{account_id}/replay",
                at={"account_id": account_id},
                body={"reason": reason, "since": since, "endpoint_id": endpoint_id, "until": until, "which": which},
                once=True,
                key=idempotency_key,
            ),
            Replayed,
        )

    def subscribe_account(
        self,
        account_id: str,
        *,
        plan: str,
        reason: str,
        interval: Literal["monthly", "yearly"] | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> Subscription:
        """Give a plan's months. `POST /v1/admin/accounts/{account_id}/subscribe`.

        As if they had just been paid: a subscription that starts, or is extended.

        Args:
            plan: A plan's id.
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/accounts/{account_id}/subscribe",
                at={"account_id": account_id},
                body={"plan": plan, "reason": reason, "interval": interval},
                once=True,
                key=idempotency_key,
            ),
            Subscription,
        )

    def take_credits(
        self, account_id: str, *, amount: int, reason: str, idempotency_key: str | None = None
    ) -> BalanceAfter:
        """Take credits back. `POST /v1/admin/accounts/{account_id}/take-back`.

        Of what is available; what was spent is taken back with its payment's refund.

        Args:
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/accounts/{account_id}/take-back",
                at={"account_id": account_id},
                body={"amount": amount, "reason": reason},
                once=True,
                key=idempotency_key,
            ),
            BalanceAfter,
        )

    def list_acts(self, *, subject: str | Omit | None = OMIT, limit: int | Omit = OMIT) -> Pager[Act, ActPage]:
        """Read the audit log. `GET /v1/admin/acts`.

        Newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/admin/acts", query={"subject": subject, "limit": limit}), ActPage, lambda page: page.data
        )

    def list_announcements(self, *, limit: int | Omit = OMIT) -> Pager[Announcement, AnnouncementPage]:
        """List announcements. `GET /v1/admin/announcements`.

        Newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/admin/announcements", query={"limit": limit}), AnnouncementPage, lambda page: page.data
        )

    def create_announcement(
        self, *, body: str, title: str, plan: str | Omit | None = OMIT, idempotency_key: str | None = None
    ) -> Announcement:
        """Announce something to everybody. `POST /v1/admin/announcements`.

        Becomes a notification and an event of every account that is open now, or on the plan, within a while.

        Args:
            plan: Only accounts on this plan.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/announcements",
                body={"body": body, "title": title, "plan": plan},
                once=True,
                key=idempotency_key,
            ),
            Announcement,
        )

    def list_bulk_runs(self, *, limit: int | Omit = OMIT) -> Pager[BulkRun, BulkRunPage]:
        """List bulk runs. `GET /v1/admin/bulk-runs`.

        Newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/admin/bulk-runs", query={"limit": limit}), BulkRunPage, lambda page: page.data
        )

    def order_bulk(
        self,
        *,
        act: Literal["retry", "refund", "discard", "cancel"],
        filter: JobFilter,
        reason: str,
        dry_run: bool | Omit = OMIT,
        idempotency_key: str | None = None,
    ) -> BulkAnswer:
        """Do something to many jobs. `POST /v1/admin/bulk-runs`.

        First as a dry run, which says how many jobs and credits it is about. The real one is carried out by the scheduler, job by
        job; each is done once, whatever is killed meanwhile. A filter leads to 100,000 jobs at most.

        Args:
            filter: Without a status: failed for retry, succeeded for refund, reconciling for discard, queued for cancel.
            reason: Why, for the audit log.
            dry_run: Only say how many jobs and credits.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/bulk-runs",
                body={"act": act, "filter": filter, "reason": reason, "dry_run": dry_run},
                once=True,
                key=idempotency_key,
            ),
            BulkAnswer,
        )

    def get_bulk_run(self, run_id: str) -> BulkRun:
        """Look at a bulk run. `GET /v1/admin/bulk-runs/{run_id}`.

        What was done, what was skipped and why, and what is left.
        """
        return self._sender.ask(Call("GET", "/v1/admin/bulk-runs/{run_id}", at={"run_id": run_id}), BulkRun)

    def resume_bulk_run(self, run_id: str, *, reason: str) -> BulkRun:
        """Let a stopped bulk run go on. `POST /v1/admin/bulk-runs/{run_id}/resume`.

        From where it was stopped; nothing is done twice.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/bulk-runs/{run_id}/resume", at={"run_id": run_id}, body={"reason": reason}), BulkRun
        )

    def stop_bulk_run(self, run_id: str, *, reason: str) -> BulkRun:
        """Stop a bulk run. `POST /v1/admin/bulk-runs/{run_id}/stop`.

        At once: no job is begun any more. What was done stays; `left` is what is not, and it can be resumed.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/bulk-runs/{run_id}/stop", at={"run_id": run_id}, body={"reason": reason}), BulkRun
        )

    def find_jobs(
        self,
        *,
        limit: int | Omit = OMIT,
        account_id: str | Omit | None = OMIT,
        status: Literal["queued", "running", "reconciling", "succeeded", "failed", "canceled"] | Omit | None = OMIT,
        model: str | Omit | None = OMIT,
        queue: Literal["interactive", "batch"] | Omit | None = OMIT,
        label: str | Omit | None = OMIT,
        error: str | Omit | None = OMIT,
        provider: str | Omit | None = OMIT,
        since: dt.datetime | Omit | None = OMIT,
        until: dt.datetime | Omit | None = OMIT,
        text: str | Omit | None = OMIT,
    ) -> Pager[FoundJob, FoundJobPage]:
        """Find jobs of all accounts. `GET /v1/admin/jobs`.

        Newest first. One request looks at 10,000 jobs, those that account, status or time lead to: where they do not fit the
        rest of the filter, the page is short and `next` goes on.

        Args:
            limit: How many at most.
            status: As operators see it: `reconciling` apart.
            label: Only those with this label: name:value, such as customer:acme.
            error: The code of its failure, or of an attempt's.
            provider: One of its attempts was there.
            since: Ordered then or later.
            until: Ordered before.
            text: In its input, its error, or as a provider's id of it.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/admin/jobs",
                query={
                    "limit": limit,
                    "account_id": account_id,
                    "status": status,
                    "model": model,
                    "queue": queue,
                    "label": label,
                    "error": error,
                    "provider": provider,
                    "since": since,
                    "until": until,
                    "text": text,
                },
            ),
            FoundJobPage,
            lambda page: page.data,
        )

    def get_job_story(self, job_id: str) -> Story:
        """A job's whole story. `GET /v1/admin/jobs/{job_id}`.

        What was ordered, where it stands, attempts with the providers' ids and words, ledger entries, events, deliveries, files,
        and what operators did to it.
        """
        return self._sender.ask(Call("GET", "/v1/admin/jobs/{job_id}", at={"job_id": job_id}), Story)

    def cancel_any_job(self, job_id: str, *, reason: str, idempotency_key: str | None = None) -> Acted:
        """Cancel a job of any account. `POST /v1/admin/jobs/{job_id}/cancel`.

        As its account would: refunded at once if it has not started, else asked to stop.

        Args:
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/jobs/{job_id}/cancel",
                at={"job_id": job_id},
                body={"reason": reason},
                once=True,
                key=idempotency_key,
            ),
            Acted,
        )

    def discard_job(self, job_id: str, *, reason: str, idempotency_key: str | None = None) -> Acted:
        """Give up a job whose answer was lost. `POST /v1/admin/jobs/{job_id}/discard`.

        One that is `reconciling`: it fails and is refunded. Refused where its answer has come meanwhile.

        Args:
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/jobs/{job_id}/discard",
                at={"job_id": job_id},
                body={"reason": reason},
                once=True,
                key=idempotency_key,
            ),
            Acted,
        )

    def refund_job(
        self, job_id: str, *, reason: str, amount: int | Omit | None = OMIT, idempotency_key: str | None = None
    ) -> Acted:
        """Give back what a job was charged. `POST /v1/admin/jobs/{job_id}/refund`.

        Once for each job, as credits that name it. A job that has not ended is refunded by canceling it.

        Args:
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/jobs/{job_id}/refund",
                at={"job_id": job_id},
                body={"reason": reason, "amount": amount},
                once=True,
                key=idempotency_key,
            ),
            Acted,
        )

    def replay_job(self, job_id: str, *, reason: str, idempotency_key: str | None = None) -> Replayed:
        """Send a job's webhooks again. `POST /v1/admin/jobs/{job_id}/replay`.

        All deliveries of its events, with the same `webhook-id`; those of endpoints that are switched off are left out.

        Args:
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/jobs/{job_id}/replay",
                at={"job_id": job_id},
                body={"reason": reason},
                once=True,
                key=idempotency_key,
            ),
            Replayed,
        )

    def retry_any_job(self, job_id: str, *, reason: str, idempotency_key: str | None = None) -> Acted:
        """Retry a job of any account. `POST /v1/admin/jobs/{job_id}/retry`.

        An ended one is ordered again for its account, at today's price, as a new job. One that is `reconciling` is tried again
        at its provider, which must not have begun it: find out there before.

        Args:
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/jobs/{job_id}/retry",
                at={"job_id": job_id},
                body={"reason": reason},
                once=True,
                key=idempotency_key,
            ),
            Acted,
        )

    def list_pauses(self) -> Pauses:
        """What is paused. `GET /v1/admin/pauses`.

        With who has paused it, why, and until when.
        """
        return self._sender.ask(Call("GET", "/v1/admin/pauses"), Pauses)

    def pause_work(
        self,
        *,
        name: str,
        reason: str,
        what: Literal["queue", "model", "provider", "account"],
        seconds: int | Omit = OMIT,
    ) -> Pause:
        """Pause a queue, model, provider or account. `POST /v1/admin/pauses`.

        Within a second nothing of it is begun; what runs goes on. Its jobs stay queued in their places, say why, and lose no
        attempt. A model with another provider goes there. Again, it changes time and reason.

        Args:
            name: Of a queue, model or provider; an account's id.
            reason: Why, for the audit log.
            seconds: How long, at most; it can be ended before.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/pauses", body={"name": name, "reason": reason, "what": what, "seconds": seconds}),
            Pause,
        )

    def resume_work(self, *, name: str, reason: str, what: Literal["queue", "model", "provider", "account"]) -> Pause:
        """End a pause. `POST /v1/admin/pauses/resume`.

        What waited is begun within a few seconds, account by account. Time limits that were running get the time back.

        Args:
            name: Of a queue, model or provider; an account's id.
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/pauses/resume", body={"name": name, "reason": reason, "what": what}), Pause
        )

    def list_all_payments(
        self, *, account_id: str | Omit | None = OMIT, problems: bool | Omit = OMIT, limit: int | Omit = OMIT
    ) -> Pager[AccountPayment, AccountPaymentPage]:
        """List payments of all accounts. `GET /v1/admin/payments`.

        Newest first.

        Args:
            account_id: Of this account only.
            problems: Only those that were paid otherwise than they should be.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/admin/payments", query={"account_id": account_id, "problems": problems, "limit": limit}),
            AccountPaymentPage,
            lambda page: page.data,
        )

    def mark_payment_paid(
        self, payment_id: str, *, reason: str, amount: float | str | Omit | None = OMIT
    ) -> AccountPayment:
        """Say that money is there. `POST /v1/admin/payments/{payment_id}/paid`.

        For orders of the company `manual`. Credits are given at once, once.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/payments/{payment_id}/paid",
                at={"payment_id": payment_id},
                body={"reason": reason, "amount": amount},
            ),
            AccountPayment,
        )

    def refund_payment(
        self,
        payment_id: str,
        *,
        reason: str,
        amount: float | str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> AccountPayment:
        """Give money back. `POST /v1/admin/payments/{payment_id}/refund`.

        The company is asked soon; credits are taken back when it says that the money has gone.

        Args:
            reason: Why, for the audit log.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/payments/{payment_id}/refund",
                at={"payment_id": payment_id},
                body={"reason": reason, "amount": amount},
                once=True,
                key=idempotency_key,
            ),
            AccountPayment,
        )

    def list_promotions(self, *, limit: int | Omit = OMIT) -> Pager[Promotion, PromotionPage]:
        """List promotion codes. `GET /v1/admin/promotions`.

        In the order of the alphabet.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/admin/promotions", query={"limit": limit}), PromotionPage, lambda page: page.data
        )

    def create_promotion(
        self,
        *,
        code: str,
        credits: int | Omit | None = OMIT,
        expires_at: dt.datetime | Omit | None = OMIT,
        interval: Literal["monthly", "yearly"] | Omit | None = OMIT,
        max_uses: int | Omit | None = OMIT,
        plan: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Promotion:
        """Make a promotion code. `POST /v1/admin/promotions`.

        It gives what it says once per account, to so many accounts, for so long.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/promotions",
                body={
                    "code": code,
                    "credits": credits,
                    "expires_at": expires_at,
                    "interval": interval,
                    "max_uses": max_uses,
                    "plan": plan,
                },
                once=True,
                key=idempotency_key,
            ),
            Promotion,
        )

    def end_promotion(self, code: str) -> Promotion:
        """End a promotion code. `DELETE /v1/admin/promotions/{code}`.

        Nobody uses it any more; what it gave stays given.
        """
        return self._sender.ask(Call("DELETE", "/v1/admin/promotions/{code}", at={"code": code}), Promotion)

    def list_providers(self) -> ProviderStandings:
        """How the providers stand. `GET /v1/admin/providers`.

        Slots, calls of the last minute, faults, and for how long each rests.
        """
        return self._sender.ask(Call("GET", "/v1/admin/providers"), ProviderStandings)

    def rest_provider(self, provider: str, *, reason: str, seconds: int | Omit = OMIT) -> Rested:
        """RestRequest a provider. `POST /v1/admin/providers/{provider}/rest`.

        Jobs go to the next of their route meanwhile, or wait; then one job tries it, and it works again or rests on. For longer, or
        for good, pause it.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/admin/providers/{provider}/rest",
                at={"provider": provider},
                body={"reason": reason, "seconds": seconds},
            ),
            Rested,
        )

    def wake_provider(self, provider: str, *, reason: str) -> Rested:
        """Wake a provider. `POST /v1/admin/providers/{provider}/wake`.

        It is asked again at once, whatever faults or limits it had.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/providers/{provider}/wake", at={"provider": provider}, body={"reason": reason}),
            Rested,
        )

    def list_queues(self) -> Overview:
        """How the queues stand. `GET /v1/admin/queues`.

        Depth, in flight, waiting, oldest age and throughput per queue, and the twenty accounts with the longest lines.
        """
        return self._sender.ask(Call("GET", "/v1/admin/queues"), Overview)

    def get_stats(self, *, days: int | Omit = OMIT) -> Stats:
        """Figures of the last days. `GET /v1/admin/stats`.

        Users, money, credits, jobs and articles.

        Args:
            days: So many UTC days, today included.
        """
        return self._sender.ask(Call("GET", "/v1/admin/stats", query={"days": days}), Stats)

    def get_usage_of_accounts(
        self,
        *,
        account: str | Omit | None = OMIT,
        since: dt.date | Omit | None = OMIT,
        until: dt.date | Omit | None = OMIT,
        time_zone: str | Omit | None = OMIT,
        by: str | Omit = OMIT,
    ) -> UsageTable:
        """What accounts used. `GET /v1/admin/usage`.

        The same for operators, with what providers took. The time zone is UTC where none is named.

        Args:
            account: Of one account; without it, of all.
            since: The first day; without it, 30 days to `until`.
            until: The day before which it ends; without it, today is the last one.
            time_zone: In which days begin, such as Asia/Jakarta; without it, as you prefer.
            by: Any of hour, day or month; account; model; label:NAME; by commas.
        """
        return self._sender.ask(
            Call(
                "GET",
                "/v1/admin/usage",
                query={"account": account, "since": since, "until": until, "time_zone": time_zone, "by": by},
            ),
            UsageTable,
        )

    def get_usage_of_accounts_csv(
        self,
        *,
        account: str | Omit | None = OMIT,
        since: dt.date | Omit | None = OMIT,
        until: dt.date | Omit | None = OMIT,
        time_zone: str | Omit | None = OMIT,
        by: str | Omit = OMIT,
    ) -> str:
        """What accounts used. `GET /v1/admin/usage`.

        The same for operators, with what providers took. The time zone is UTC where none is named.

        Args:
            account: Of one account; without it, of all.
            since: The first day; without it, 30 days to `until`.
            until: The day before which it ends; without it, today is the last one.
            time_zone: In which days begin, such as Asia/Jakarta; without it, as you prefer.
            by: Any of hour, day or month; account; model; label:NAME; by commas.
        """
        return self._sender.ask_text(
            Call(
                "GET",
                "/v1/admin/usage",
                query={
                    "account": account,
                    "since": since,
                    "until": until,
                    "time_zone": time_zone,
                    "by": by,
                    "format": "csv",
                },
            )
        )

    def list_users(
        self,
        *,
        email: str | Omit | None = OMIT,
        subject: str | Omit | None = OMIT,
        issuer: str | Omit | None = OMIT,
        key_prefix: str | Omit | None = OMIT,
        limit: int | Omit = OMIT,
    ) -> Pager[User, UserPage]:
        """List users. `GET /v1/admin/users`.

        Newest first.

        Args:
            email: Exactly this address.
            subject: Exactly this id at the identity provider.
            issuer: Of `subject`: exactly this identity provider.
            key_prefix: As keys are listed, such as hr_AbC….
            limit: How many at most.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/admin/users",
                query={"email": email, "subject": subject, "issuer": issuer, "key_prefix": key_prefix, "limit": limit},
            ),
            UserPage,
            lambda page: page.data,
        )

    def open_user(
        self,
        *,
        subject: str,
        email: str | Omit | None = OMIT,
        issuer: str | Omit = OMIT,
        plan: str | Omit | None = OMIT,
    ) -> User:
        """Open an account. `POST /v1/admin/users`.

        On the default plan, if none is named, with its sign-up credits. 200: there was one.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/users", body={"subject": subject, "email": email, "issuer": issuer, "plan": plan}),
            User,
        )

    def change_role(self, user_id: str, *, role: Literal["user", "pro", "editor", "admin"]) -> User:
        """Change a user's role. `PATCH /v1/admin/users/{user_id}`.

        Takes effect everywhere within five seconds.
        """
        return self._sender.ask(
            Call("PATCH", "/v1/admin/users/{user_id}", at={"user_id": user_id}, body={"role": role}), User
        )

    def resume_user(self, user_id: str, *, reason: str) -> User:
        """Let a suspended user in again. `POST /v1/admin/users/{user_id}/resume`.

        Their keys and tokens work again as before.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/users/{user_id}/resume", at={"user_id": user_id}, body={"reason": reason}), User
        )

    def suspend_user(self, user_id: str, *, reason: str) -> User:
        """Suspend a user. `POST /v1/admin/users/{user_id}/suspend`.

        Refused everywhere within five seconds, with 403 `suspended`. Jobs that run go on.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/users/{user_id}/suspend", at={"user_id": user_id}, body={"reason": reason}), User
        )

    def list_workers(self) -> Workers:
        """The worker processes. `GET /v1/admin/workers`.

        Host, process, version, heartbeat, and the jobs that each is at.
        """
        return self._sender.ask(Call("GET", "/v1/admin/workers"), Workers)

    def drain_worker(self, worker_id: str, *, reason: str) -> Drained:
        """Drain a worker process. `POST /v1/admin/workers/{worker_id}/drain`.

        It takes no more jobs within a quarter of a lease, and ends once those that it is at have come to their end. Whoever supervises
        it may start another.

        Args:
            reason: Why, for the audit log.
        """
        return self._sender.ask(
            Call("POST", "/v1/admin/workers/{worker_id}/drain", at={"worker_id": worker_id}, body={"reason": reason}),
            Drained,
        )
