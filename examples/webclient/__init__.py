"""The token-allowance web client: `python -m examples webclient`. docs/port-webclient.md tells of each function.

It needs PROVISIONING_ADMIN_TOKEN, as the system has it. Each run is a new user's, so that it can be run again and again.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from headrace_client.models import AccountChange, KeptUsage, UsageReport, WebAccount, WebCredential

from examples.noting import NOTES
from examples.running import Example, Place, Step, fulfilled, refused, same

DAY = 86_400_000  # milliseconds
AT_ONCE = 20


class WebClient:
    """One user of the web client, and what its server does for them, function by function."""

    _unnamed: KeptUsage

    def __init__(self, place: Place, token: str) -> None:
        self._place, self._token = place, token
        self._api = place.client(token).provisioning
        self.user = f"user_{uuid.uuid4().hex}"
        self.now = int(time.time() * 1000)
        self.record = WebCredential(
            id=f"cred_{uuid.uuid4().hex}", userId=self.user, provider="openai", tokenHash="5e" * 32, salt="a1" * 16,
            scopes=["chat", "images"], planTier="free", issuedAt=self.now, expiresAt=self.now + 30 * DAY, status="active",
            metadata={"issuer": "example"},
        )  # fmt: skip
        self.entry = UsageReport(
            id=f"use_{uuid.uuid4().hex}", userId=self.user, provider="openai", tokensUsed=1200, costMinorUnits=3,
            recordedAt=self.now,
        )  # fmt: skip

    def active(self) -> WebCredential | None:
        return self._api.find_active_credential(provider="openai", user_id=self.user).credential

    def account(self) -> WebAccount:
        return self._api.get_or_create_account(user_id=self.user).account

    def knock(self) -> None:
        for header, status in ((f"Bearer {self._token}", 200), (f"Convex {self._token}", 200), ("Bearer no", 401)):
            NOTES.call("POST /api/account/getOrCreate by hand, as Convex's own client sends it")
            answer = self._place.http.post(
                "/api/account/getOrCreate", json={"userId": self.user}, headers={"authorization": header}
            )
            same(answer.status_code, status, f"the status with `{header.partition(' ')[0]}` and a token")

    def save(self) -> None:
        same(self.active(), None, "the credential of a user who has none")
        for _ in range(2):  # what is sent again is kept once
            same(self._api.save_credential(record=self.record).result, True, "the answer")
        other = self.record.model_copy(update={"salt": "b2" * 16})
        refused(422, "id_taken", self._api.save_credential, record=other)
        unknown = self.record.model_copy(update={"colour": "red"})
        refused(422, "invalid_request", self._api.save_credential, record=unknown)

    def find(self) -> None:
        same(self.active(), self.record, "the credential that was saved")
        changes = {"id": f"cred_{uuid.uuid4().hex}", "issuedAt": self.now + 1, "expiresAt": self.now}
        self._api.save_credential(record=self.record.model_copy(update=changes))
        same(self.active(), self.record, "the newest one that has not expired")

    def revoke(self) -> None:
        same(self._api.mark_credential_revoked(credential_id=self.record.id).result, True, "the answer")
        same(self._api.mark_credential_revoked(credential_id=self.user).result, False, "the answer where there is none")
        same(self.active(), None, "the credential that is found after it was revoked")
        again = {"credential_id": self.record.id, "token_hash": "00", "salt": "00"}
        refused(400, "credential_ended", self._api.rotate_credential, **again)

    def list_all(self) -> None:
        mine = [each for each in self._api.list_credentials().credentials if each.userId == self.user]
        same(len(mine), 2, "how many of the user's credentials are listed")
        same(mine[1], self.record.model_copy(update={"status": "revoked"}), "the older one in the list")

    def rotate(self) -> None:
        found = self._api.rotate_credential(
            credential_id=self.record.id, token_hash="7c" * 32, salt="d3" * 16
        ).credential
        changes = {"tokenHash": "7c" * 32, "salt": "d3" * 16, "lastRotatedAt": found.lastRotatedAt}
        self.record = self.record.model_copy(update=changes)
        same(found, self.record, "the credential with its new token")
        same(self.active(), self.record, "the credential that is found then")

    def report(self) -> None:
        for _ in range(2):  # a report that is sent again counts once
            kept = self._api.record_provider_usage(entry=self.entry).usage
            same(kept.model_dump(), self.entry.model_dump(), "the report that is kept")
        other, negative = (self.entry.model_copy(update={"tokensUsed": tokens}) for tokens in (1, -1))
        refused(422, "id_taken", self._api.record_provider_usage, entry=other)
        refused(422, "invalid_request", self._api.record_provider_usage, entry=negative)
        unnamed = UsageReport(
            userId=self.user, provider="openai", tokensUsed=7, costMinorUnits=3, recordedAt=self.now + 1
        )
        self._unnamed = self._api.record_provider_usage(entry=unnamed).usage
        same(self._unnamed.tokensUsed, 7, "the tokens of a report without an id")

    def list_reports(self) -> None:
        found = self._api.list_provider_usage(user_id=self.user).usage
        same([each.id for each in found], [self._unnamed.id, self.entry.id], "the reports, the newest first")

    def open_account(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda _: self.account(), range(AT_ONCE)))
        same([each for each in found if each != found[0]], [], "what others see who look at the same moment")
        new = found[0]
        same((new.planTier, new.billingStatus, new.premiumExpiresAt), ("free", "free", None), "plan, billing and end")
        usage = (new.usage.monthTokensUsed, new.usage.monthlyAllowance)
        same(usage, (0, 50_000), "tokens used and allowed")

    def pay(self) -> None:
        before, ends = self.account(), self.now + 30 * DAY
        paid = AccountChange(userId=self.user, planTier="premium", billingStatus="active", premiumExpiresAt=ends)
        found = self._api.update_account(payload=paid).account
        same(
            (found.planTier, found.billingStatus),
            ("premium", "active"),
            "plan and billing of the account that was paid for",
        )
        same((found.premiumExpiresAt, found.usage), (ends, before.usage), "its end, and its tokens")
        endless = AccountChange(userId=self.user, planTier="premium", billingStatus="active")
        same(self._api.update_account(payload=endless).account.premiumExpiresAt, None, "the end of one without an end")

    def _use(self) -> WebAccount:
        return self._api.record_tokens(user_id=self.user, provider="openai", tokens_used=5).account

    def use(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda _: self._use(), range(AT_ONCE)))
        most = max(each.usage.monthTokensUsed for each in found)
        # Where a month ends in between, what came before belongs to that one.
        fulfilled(most == 5 * AT_ONCE or _month_ends(self.now), f"{AT_ONCE} calls of 5 tokens came to {most}")
        same({each.planTier for each in found} == {"premium"}, True, "whether tokens leave the plan alone")

    def begin_a_month(self) -> None:
        same(self.account().usage.monthTokensUsed, 0, "the tokens of the month that has begun")


def _month_ends(since: int) -> bool:
    return time.gmtime(since / 1000).tm_mon != time.gmtime().tm_mon


def _steps(place: Place, environment: Mapping[str, str], _stack: ExitStack) -> Sequence[Step]:
    web = WebClient(place, environment["PROVISIONING_ADMIN_TOKEN"].partition(",")[0].strip())
    return (
        Step("C4 admin token", "the token opens the door, and nothing else does", web.knock),
        Step("C1 saveCredential", "a credential is kept once", web.save),
        Step("C1 findActiveCredential", "the newest that holds is found", web.find),
        Step("C1 rotateCredential", "it gets another token", web.rotate),
        Step("C1 markCredentialRevoked", "it is ended for good", web.revoke),
        Step("C1 listCredentials", "both are shown", web.list_all),
        Step("C2 recordUsage", "a repeated report counts once", web.report),
        Step("C2 listUsage", "the newest comes first", web.list_reports),
        Step("C3 getOrCreate", "there is one account, however many ask at once", web.open_account),
        Step("C3 updateAccount", "it is changed in place", web.pay),
        Step("C3 recordUsage", "every token counts against the month", web.use),
        Step("C3 getOrCreate", "another month begins at nothing", web.begin_a_month, days=45),
    )


EXAMPLE = Example("webclient", "a token allowance", ("PROVISIONING_ADMIN_TOKEN",), _steps)
