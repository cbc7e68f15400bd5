"""Pixorly's API keys (B8)."""

from typing import Any

import httpx

from examples.callers import Caller
from examples.pixorly.person import Person
from examples.running import eventually, fulfilled, same

PER_MINUTE = 6


class Keys:
    """A user's key, for a program of theirs."""

    def __init__(self, client: httpx.Client, person: Person) -> None:
        self._client, self._person = client, person
        self._id = self._secret = ""

    def make(self) -> None:
        wanted = {"name": "my script", "scopes": ["read"], "per_minute": PER_MINUTE}
        made = self._person.browser.ask("POST", "/v1/keys", status=201, json=wanted)
        self._id, self._secret = made["id"], made["secret"]
        self._program = Caller(self._client, self._secret)
        key = self._listed()
        same((key["name"], key["scopes"], key["per_minute"]), ("my script", ["read"], PER_MINUTE), "the key")
        fulfilled(self._secret.startswith(key["prefix"].rstrip("…")), f"its prefix is {key['prefix']}")
        fulfilled(self._secret not in str(key), "the secret is shown again")

    def _listed(self) -> dict[str, Any]:
        """The key in the user's list."""
        keys = self._person.browser.ask("GET", "/v1/keys")["data"]
        return next(each for each in keys if each["id"] == self._id)

    def stay_in_scopes(self) -> None:
        self._program.ask("GET", "/v1/jobs")
        order = {"model": "flux-schnell", "input": {"prompt": "a fox"}}
        no = self._program.refused("POST", "/v1/jobs", 403, "forbidden", json=order)
        same(no["needed"], "generate", "the scope that is missing")
        self._program.refused("DELETE", f"/v1/keys/{self._id}", 403, "forbidden")

    def ask_too_often(self) -> None:
        answers = [self._program.status("GET", "/v1/jobs") for _ in range(PER_MINUTE + 1)]
        fulfilled(answers[-1] == 429, f"{PER_MINUTE + 1} requests in a minute were answered {answers}")

    def count(self) -> None:
        eventually(lambda: self._listed()["uses"] > 0, True, "whether the uses are counted")
        fulfilled(self._listed()["last_used_at"] is not None, "the key was never used, it says")

    def revoke(self) -> None:
        self._person.browser.ask("DELETE", f"/v1/keys/{self._id}", status=204)
        eventually(lambda: self._program.status("GET", "/v1/jobs"), 401, "how a revoked key is answered")
        fulfilled(self._listed()["revoked_at"] is not None, "the list does not say that it was revoked")
