"""Reimaji's server, its users and their roles (D1), and what admins see of them (D9, D10)."""

import uuid
from contextlib import suppress
from typing import Literal

from headrace_client import Headrace, HeadraceError
from headrace_client.models import Me, User

from examples.running import Place, fulfilled, refused, same


class Learner:
    """A user: what Reimaji's server asks for them, with `client`."""

    def __init__(self, service: Headrace, opened: User) -> None:
        self.user_id, self.account_id, self.email = opened.id, opened.account_id, opened.email or ""
        self.client = service.acting_for(self.account_id)

    def me(self) -> Me:
        """Role, plan, subscription, preferences."""
        return self.client.me.get()


class Learners:
    """Two users, and the admin. `learner` and `other` are there once they have come."""

    learner: Learner
    other: Learner
    service: Headrace

    def __init__(self, place: Place, admin_key: str) -> None:
        self._place = place
        self.admin = place.client(admin_key)
        self._key_id = ""

    def connect(self) -> None:
        made = self.admin.keys.create(name="reimaji", scopes=["generate", "read", "write", "delete", "act"])
        self._key_id, self.service = made.id, self._place.client(made.secret)

    def open(self) -> Learner:
        """Open an account for a user as Reimaji knows them: by id and e-mail."""
        subject = uuid.uuid4().hex
        known = {"issuer": "reimaji", "subject": subject, "email": f"{subject}@example.com"}
        opened = self.admin.admin.open_user(**known)
        same(self.admin.admin.open_user(**known), opened, "the same user opened again")
        return Learner(self.service, opened)

    def come(self) -> None:
        self.learner = self.open()
        me = self.learner.me()
        same((me.role, me.subscription), ("user", None), "role and subscription of a new user")
        for name in (f"email:{self.learner.email}", f"reimaji:{me.subject}"):
            found = self.service.acting_for(name).me.get()
            same(found.account_id, self.learner.account_id, "the account of the same user")

    def prefer(self) -> None:
        self.learner.client.me.change_preferences(language="id", notifications=True, theme="dark")
        kept = self.learner.me().preferences
        same((kept.language, kept.notifications, kept.theme), ("id", True, "dark"), "language, notifications, theme")

    def change_role(self) -> None:
        user_id = self.learner.user_id
        roles: tuple[Literal["pro", "user"], ...] = ("pro", "user")
        for role in roles:
            same(self.admin.admin.change_role(user_id, role=role).role, role, "the new role")
            same(self.learner.me().role, role, "the role on the user's page")
        acts = self.admin.admin.list_acts(subject=user_id).first().data
        fulfilled(len(acts) >= 2, f"of two changes of a role the audit log has {len(acts)}")
        refused(403, "forbidden", self.learner.client.admin.change_role, user_id, role="admin")

    def look_at_figures(self) -> None:
        found = self.admin.admin.get_stats(days=2)
        fulfilled(found.users.new >= 1, f"nobody is new: {found.users}")
        fulfilled(found.users.total >= found.users.active, f"users are counted as {found.users}")
        earned = sum(float(each.paid) for each in found.revenue if each.currency == "IDR")
        fulfilled(earned >= 1_705_000, f"a month and a year were sold, and the revenue in IDR is {earned}")
        refused(403, "forbidden", self.learner.client.admin.get_stats, days=2)
        refused(403, "forbidden", self.service.admin.list_users)

    def leave(self) -> None:
        """Whatever went wrong: a key that acts for everybody is not left behind."""
        with suppress(HeadraceError):
            if self._key_id:
                self.admin.keys.revoke(self._key_id)
