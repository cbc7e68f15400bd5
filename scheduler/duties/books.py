"""The duty that proves the books, a part after the other, for ever."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import Connection

from common.errors import DomainError
from models.credits import proofs
from models.credits.audit import Finding
from models.credits.proofs import ProofPart, TooSlow
from models.db import transaction
from models.fleet import processes

log = logging.getLogger(__name__)

_NAME = "audit"
AUDIT_ROUND_SECONDS = 30.0  # of a turn, for the round: a small house is proven whole at each
FIRST_SPAN = timedelta(hours=1)  # what is new at the very first turn
MOST_BROKEN = 100  # parts that are proven again at each turn until they hold


class ProofState(NamedTuple):
    """Where the proof stands: since when things are new, up to which account the round has come, and what did not hold."""

    since: datetime
    after: UUID | None = None
    broken: tuple[ProofPart, ...] = ()


def prove_books(_batch: int) -> int:
    """Prove what is new, what was broken, and as much of the round as there is time for. A broken rule is an error of the duty at every turn
    until it holds, shown by `headrace doctor`, and logged. Whoever has time left goes no further: returns 0.
    """
    with transaction() as conn:
        began, state = proofs.moment_of_proof(conn), _read(conn)
    since = state.since - timedelta(seconds=proofs.OVERLAP_SECONDS)
    proof = _Proof()
    proof.prove_ledger(since)
    for part in dict.fromkeys([*state.broken, *proofs.new_parts(since)]):
        proof.prove(part)
    after, end = state.after, time.monotonic() + AUDIT_ROUND_SECONDS
    with transaction() as conn:
        ranges = proofs.account_ranges(conn, after)
    for start, until in ranges:
        for part in proofs.round_parts(start, until):
            proof.prove(part)
        after = None if until == proofs.LAST else until
        if time.monotonic() >= end:
            break
    with transaction() as conn:
        processes.set_cursor(conn, _NAME, _written(ProofState(began, after, tuple(proof.broken)[:MOST_BROKEN])))
    proof.raise_what_was_found()
    return 0


class _Proof:
    """What one turn has found."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.broken: dict[ProofPart, None] = {}
        self.late: set[str] = set()

    def prove(self, part: ProofPart) -> None:
        try:
            with transaction() as conn:
                found = proofs.prove_part(conn, part)
        except (TooSlow, DomainError) as error:
            self._put_off(part, error)
            return
        if found is not None:
            self.findings.append(found)
            self.broken[part] = None

    def prove_ledger(self, since: datetime) -> None:
        try:
            with transaction() as conn:
                found = proofs.prove_ledger(conn, since)
        except DomainError as error:
            for rule in proofs.LEDGER_RULES:
                self._put_off(ProofPart(rule, since=since), error)
            return
        self.findings += found
        self.broken |= {ProofPart(each.rule, since=since): None for each in found}

    def _put_off(self, part: ProofPart, error: Exception) -> None:
        """It took too long, or the database was away: other parts are proven all the same, and this one, or its halves, at the next turn."""
        log.warning("audit: %s could not be proven: %s", part, error)
        self.late.add(part.rule)
        parts = []
        if isinstance(error, TooSlow):
            with suppress(DomainError), transaction() as conn:  # the database may be away by now
                parts = proofs.halves(conn, part)
        self.broken |= dict.fromkeys(parts or [part])

    def raise_what_was_found(self) -> None:
        findings = proofs.merged(self.findings)
        for finding in findings:
            log.error("audit: %s does not hold: %s", finding.rule, finding.rows)
        if findings:
            raise RuntimeError("the audit found broken rules: " + ", ".join(finding.rule for finding in findings))
        if self.late:
            raise RuntimeError(f"the audit could not prove in {proofs.RULE_SECONDS} s: " + ", ".join(sorted(self.late)))


def _read(conn: Connection[Any]) -> ProofState:
    text = processes.cursor(conn, _NAME)
    if text is None:
        return ProofState(proofs.moment_of_proof(conn) - FIRST_SPAN)
    since, after, broken = orjson.loads(text)
    return ProofState(datetime.fromisoformat(since), UUID(after) if after else None, tuple(_parts(broken)))


def _parts(kept: list[list[Any]]) -> Iterator[ProofPart]:
    for rule, after, until, since in kept:
        if rule in proofs.RULES_BY_NAME:  # else it is one of another release
            yield ProofPart(
                rule, UUID(after) if after else None, UUID(until), datetime.fromisoformat(since) if since else None
            )


def _written(state: ProofState) -> str:
    return orjson.dumps([state.since, state.after, [[*each] for each in state.broken]]).decode()
