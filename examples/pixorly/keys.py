"""Pixorly's API keys (B8)."""

from headrace_client import Headrace
from headrace_client.models import Key

from examples.pixorly.person import Person
from examples.running import Place, answered, eventually, fulfilled, refused, same

PER_MINUTE = 6


class Keys:
    """A user's key, for a program of theirs, which is there once the key was made."""

    _program: Headrace

    def __init__(self, place: Place, admin: Headrace, person: Person) -> None:
        self._place, self._admin, self._person = place, admin, person
        self._id = ""

    def make(self) -> None:
        made = self._person.browser.keys.create(name="my script", scopes=["read"], per_minute=PER_MINUTE)
        self._id, self._program = made.id, self._place.client(made.secret, patience_seconds=0)
        key = self._listed()
        same(
            (key.name, key.scopes, key.per_minute),
            ("my script", ["read"], PER_MINUTE),
            "name, scopes, a minute's calls",
        )
        fulfilled(made.secret.startswith(key.prefix.rstrip("…")), f"its prefix is {key.prefix}")
        fulfilled(made.secret not in str(key), "the secret is shown again")
        owners = [each.account_id for each in self._admin.admin.list_users(key_prefix=key.prefix.rstrip("…"))]
        same(owners, [self._person.me().account_id], "whose key has this prefix, to an operator")

    def _listed(self) -> Key:
        """The key in the user's list."""
        return next(each for each in self._person.browser.keys.list() if each.id == self._id)

    def stay_in_scopes(self) -> None:
        self._program.jobs.list().first()
        no = refused(403, "forbidden", self._program.jobs.submit, "flux-schnell", {"prompt": "a fox"})
        same(no.extra["needed"], "generate", "the scope that is missing")
        refused(403, "forbidden", self._program.keys.revoke, self._id)

    def ask_too_often(self) -> None:
        answers = [answered(self._program.jobs.list) for _ in range(PER_MINUTE + 1)]
        same(answers[-1], 429, f"how the last of {PER_MINUTE + 1} calls in a minute is answered")

    def count(self) -> None:
        eventually(lambda: self._listed().uses > 0, True, "whether the uses are counted")
        fulfilled(self._listed().last_used_at is not None, "the key was never used, it says")

    def revoke(self) -> None:
        self._person.browser.keys.revoke(self._id)
        eventually(lambda: answered(self._program.jobs.list), 401, "how a revoked key is answered")
        fulfilled(self._listed().revoked_at is not None, "the list does not say that it was revoked")
