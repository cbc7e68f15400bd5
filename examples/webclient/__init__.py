"""The token-allowance web client: `python -m examples webclient`. docs/port-webclient.md tells of each function.

It needs PROVISIONING_ADMIN_TOKEN, as the system has it. Each run is a new user's, so that it can be run again and again.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx

from examples.running import Example, Step, fulfilled, same

DAY = 86_400_000  # milliseconds
AT_ONCE = 20


class WebClient:
    """One user of the web client, and what its server does for them, function by function."""

    def __init__(self, client: httpx.Client, token: str) -> None:
        self._client, self._token = client, token
        self.user = f"user_{uuid.uuid4().hex}"
        self.now = int(time.time() * 1000)
        self.record: dict[str, Any] = {
            "id": f"cred_{uuid.uuid4().hex}", "userId": self.user, "provider": "openai", "tokenHash": "5e" * 32,
            "salt": "a1" * 16, "scopes": ["chat", "images"], "planTier": "free", "issuedAt": self.now,
            "expiresAt": self.now + 30 * DAY, "status": "active", "metadata": {"issuer": "example"},
        }  # fmt: skip
        self.entry = {
            "id": f"use_{uuid.uuid4().hex}", "userId": self.user, "provider": "openai", "tokensUsed": 1200,
            "costMinorUnits": 3, "recordedAt": self.now,
        }  # fmt: skip
        self.usage: dict[str, Any] = {}

    def ask(self, function: str, body: Any, *, status: int = 200, scheme: str = "Bearer") -> Any:
        """Call a function. Raises Difference for another status."""
        head = {"authorization": f"{scheme} {self._token}"}
        answer = self._client.post(f"/api/{function}", json=body, headers=head)
        same(answer.status_code, status, f"the status of {function} ({answer.text[:300]})")
        return answer.json()

    def account(self, function: str, body: Any) -> dict[str, Any]:
        """Call a function that answers an account."""
        found: dict[str, Any] = self.ask(f"account/{function}", body)["account"]
        return found

    def active(self) -> Any:
        wanted = {"userId": self.user, "provider": "openai"}
        return self.ask("provisioning/findActiveCredential", wanted)["credential"]

    def save(self) -> None:
        same(self.active(), None, "the credential of a user who has none")
        for _ in range(2):  # what is sent again is kept once
            same(self.ask("provisioning/saveCredential", {"record": self.record}), {"result": True}, "the answer")
        self.ask("provisioning/saveCredential", {"record": {**self.record, "salt": "b2" * 16}}, status=422)
        self.ask("provisioning/saveCredential", {"record": {**self.record, "colour": "red"}}, status=422)

    def find(self) -> None:
        same(self.active(), self.record, "the credential that was saved")
        expired = {**self.record, "id": f"cred_{uuid.uuid4().hex}", "issuedAt": self.now + 1, "expiresAt": self.now}
        self.ask("provisioning/saveCredential", {"record": expired})
        same(self.active(), self.record, "the newest one that has not expired")

    def rotate(self) -> None:
        asked = {"credentialId": self.record["id"], "tokenHash": "7c" * 32, "salt": "d3" * 16}
        found = self.ask("provisioning/rotateCredential", asked)["credential"]
        self.record |= {"tokenHash": "7c" * 32, "salt": "d3" * 16, "lastRotatedAt": found.get("lastRotatedAt")}
        same(found, self.record, "the credential with its new token")
        same(self.active(), self.record, "the credential that is found then")

    def revoke(self) -> None:
        named = {"credentialId": self.record["id"]}
        same(self.ask("provisioning/markCredentialRevoked", named), {"result": True}, "the answer")
        same(self.ask("provisioning/markCredentialRevoked", {"credentialId": self.user}), {"result": False}, "of none")
        same(self.active(), None, "the credential that is found after it was revoked")
        self.ask("provisioning/rotateCredential", {**named, "tokenHash": "00", "salt": "00"}, status=400)

    def list_all(self) -> None:
        shown = self.ask("provisioning/listCredentials", {})["credentials"]
        mine = [each for each in shown if each["userId"] == self.user]
        same(len(mine), 2, "how many of the user's credentials are listed")
        same(mine[1], {**self.record, "status": "revoked"}, "the older one in the list")

    def report(self) -> None:
        for _ in range(2):  # a report that is sent again counts once
            same(self.ask("provisioning/recordUsage", {"entry": self.entry}), {"usage": self.entry}, "the report kept")
        self.ask("provisioning/recordUsage", {"entry": {**self.entry, "tokensUsed": 1}}, status=422)
        self.ask("provisioning/recordUsage", {"entry": {**self.entry, "tokensUsed": -1}}, status=422)
        unnamed = {**self.entry, "recordedAt": self.now + 1, "tokensUsed": 7}
        del unnamed["id"]
        made = self.ask("provisioning/recordUsage", {"entry": unnamed})["usage"]
        self.usage = {**unnamed, "id": made.get("id")}
        same(made, self.usage, "a report without an id")

    def list_reports(self) -> None:
        wanted = {"usage": [self.usage, self.entry]}
        same(self.ask("provisioning/listUsage", {"userId": self.user}), wanted, "the reports, the newest first")

    def open_account(self) -> None:
        def look(_: int) -> dict[str, Any]:
            return self.account("getOrCreate", {"userId": self.user})

        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(look, range(AT_ONCE)))
        same([each for each in found if each != found[0]], [], "what others see who look at the same moment")
        usage = found[0].pop("usage")
        wanted = {"userId": self.user, "planTier": "free", "billingStatus": "free", "premiumExpiresAt": None}
        same(found[0], wanted, "a new account")
        same(usage.pop("monthTokensUsed"), 0, "the tokens of a new account")
        same(sorted(usage), ["lastUpdated", "monthlyAllowance"], "the other fields of its usage")

    def pay(self) -> None:
        before = self.account("getOrCreate", {"userId": self.user})
        payload = {
            "userId": self.user, "planTier": "premium", "billingStatus": "active", "premiumExpiresAt": self.now + 30 * DAY,
        }  # fmt: skip
        wanted = {**payload, "usage": before["usage"]}
        same(self.account("updateAccount", {"payload": payload}), wanted, "the account that was paid for")
        del payload["premiumExpiresAt"]
        wanted = {**payload, "premiumExpiresAt": None, "usage": before["usage"]}
        same(self.account("updateAccount", {"payload": payload}), wanted, "the account without an end")

    def use(self) -> None:
        spent = {"userId": self.user, "provider": "openai", "tokensUsed": 5}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda _: self.account("recordUsage", spent), range(AT_ONCE)))
        most = max(each["usage"]["monthTokensUsed"] for each in found)
        # Where a month ends in between, what came before belongs to that one.
        fulfilled(most == 5 * AT_ONCE or _month_ends(self.now), f"{AT_ONCE} calls of 5 tokens came to {most}")
        same({each["planTier"] for each in found}, {"premium"}, "the plan, which tokens leave alone")

    def knock(self) -> None:
        self.ask("account/getOrCreate", {"userId": self.user}, scheme="Convex")
        for head in ({}, {"authorization": "Bearer not-the-token"}):
            answer = self._client.post("/api/account/getOrCreate", json={"userId": self.user}, headers=head)
            same(answer.status_code, 401, "the status of somebody without the token")


def _month_ends(since: int) -> bool:
    return time.gmtime(since / 1000).tm_mon != time.gmtime().tm_mon


def _steps(client: httpx.Client, environment: Mapping[str, str], _stack: ExitStack) -> Sequence[Step]:
    web = WebClient(client, environment["PROVISIONING_ADMIN_TOKEN"].partition(",")[0].strip())
    return (
        Step("the token opens the door, and nothing else does", web.knock),
        Step("saveCredential keeps a credential once", web.save),
        Step("findActiveCredential finds the newest that holds", web.find),
        Step("rotateCredential gives it another token", web.rotate),
        Step("markCredentialRevoked ends it for good", web.revoke),
        Step("listCredentials shows both", web.list_all),
        Step("recordUsage counts a repeated report once", web.report),
        Step("listUsage shows the newest first", web.list_reports),
        Step("getOrCreate makes one account, however many ask at once", web.open_account),
        Step("updateAccount changes it in place", web.pay),
        Step("recordUsage of the account counts every token", web.use),
    )


EXAMPLE = Example("webclient", "a token allowance", ("PROVISIONING_ADMIN_TOKEN",), _steps)
