"""Reimaji's server, its users and their roles (D1), and what admins see of them (D9, D10)."""

import uuid
from contextlib import suppress
from typing import Any

import httpx

from examples.callers import Caller
from examples.running import fulfilled, same


class Learner:
    """A user: their page, and what Reimaji's server asks for them."""

    def __init__(self, service: Caller, opened: dict[str, Any]) -> None:
        self.user_id, self.account_id, self.email = opened["id"], opened["account_id"], opened["email"]
        self.caller = service.acting_for(self.account_id)

    def me(self) -> dict[str, Any]:
        """Role, plan, subscription, preferences."""
        found: dict[str, Any] = self.caller.ask("GET", "/v1/me")
        return found


class Learners:
    """Two users, and the admin. `learner` and `other` are there once they have come."""

    learner: Learner
    other: Learner
    service: Caller

    def __init__(self, client: httpx.Client, admin_key: str) -> None:
        self._client = client
        self.admin = Caller(client, admin_key)
        self._key_id = ""

    def connect(self) -> None:
        wanted = {"name": "reimaji", "scopes": ["generate", "read", "write", "delete", "act"]}
        made = self.admin.ask("POST", "/v1/keys", status=201, json=wanted)
        self._key_id, self.service = made["id"], Caller(self._client, made["secret"])

    def open(self) -> Learner:
        """Open an account for a user as Reimaji knows them: by id and e-mail."""
        subject = uuid.uuid4().hex
        known = {"issuer": "reimaji", "subject": subject, "email": f"{subject}@example.com"}
        opened = self.admin.ask("POST", "/v1/admin/users", status=201, json=known)
        same(self.admin.ask("POST", "/v1/admin/users", json=known), opened, "the same user opened again")
        return Learner(self.service, opened)

    def come(self) -> None:
        self.learner = self.open()
        me = self.learner.me()
        same((me["role"], me["subscription"]), ("user", None), "role and subscription of a new user")
        for name in (f"email:{self.learner.email}", f"reimaji:{me['subject']}"):
            found = self.service.acting_for(name).ask("GET", "/v1/me")
            same(found["account_id"], self.learner.account_id, f"the account of {name}")

    def prefer(self) -> None:
        chosen = {"language": "id", "notifications": True, "theme": "dark"}
        self.learner.caller.ask("PATCH", "/v1/me", json=chosen)
        preferences = self.learner.me()["preferences"]
        same({name: preferences[name] for name in chosen}, chosen, "the preferences that were chosen")

    def change_role(self) -> None:
        path = f"/v1/admin/users/{self.learner.user_id}"
        for role in ("pro", "user"):
            same(self.admin.ask("PATCH", path, json={"role": role})["role"], role, "the new role")
            same(self.learner.me()["role"], role, "the role on the user's page")
        acts = self.admin.ask("GET", "/v1/admin/acts", params={"subject": self.learner.user_id})["data"]
        fulfilled(len(acts) >= 2, f"of two changes of a role the audit log has {len(acts)}")
        self.learner.caller.refused("PATCH", path, 403, "forbidden", json={"role": "admin"})

    def look_at_figures(self) -> None:
        found = self.admin.ask("GET", "/v1/admin/stats", params={"days": 2})
        fulfilled(found["users"]["new"] >= 1, f"nobody is new: {found['users']}")
        fulfilled({"total", "active"} <= set(found["users"]), f"users are counted as {found['users']}")
        earned = [float(each["paid"]) for each in found["revenue"] if each["currency"] == "IDR"]
        fulfilled(sum(earned) >= 1_705_000, f"a month and a year were sold, and the revenue in IDR is {earned}")
        self.learner.caller.refused("GET", "/v1/admin/stats", 403, "forbidden")
        self.service.refused("GET", "/v1/admin/users", 403, "forbidden")

    def leave(self) -> None:
        """Whatever went wrong: a key that acts for everybody is not left behind."""
        with suppress(httpx.HTTPError):
            if self._key_id:
                self.admin.status("DELETE", f"/v1/keys/{self._key_id}")
