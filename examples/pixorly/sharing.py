"""Pixorly's collections: in order, shared by link, with collaborators (B7)."""

from datetime import UTC, datetime, timedelta

import httpx
from headrace_client import Headrace

from examples.photos import Photos
from examples.pixorly.gallery import Gallery
from examples.pixorly.person import Person
from examples.running import Place, eventually, fulfilled, refused, same

NAME, PASSWORD = "Harbours before six", "open sesame"
SOON = timedelta(seconds=5)


class Sharing:
    """A collection of one user, who lets another in."""

    def __init__(self, place: Place, admin: Headrace, gallery: Gallery, person: Person, friend: Person) -> None:
        self._place, self._admin, self._gallery = place, admin, gallery
        self._owner, self._friend = person, friend
        self._mine, self._theirs = person.browser.collections, friend.browser.collections
        self._id = self._link_id = self._url = self._member_id = ""

    def make(self) -> None:
        pictures, once = [each.id for each in self._gallery.pictures], f"c-{self._owner.id}"
        text = "Small ports, and what is behind them."
        made = [self._mine.create(name=NAME, description=text, idempotency_key=once) for _ in range(2)]
        same(made[0].id, made[1].id, "the collection of the same request")
        self._id = made[0].id
        added = self._mine.add_items(self._id, items=[*pictures, self._gallery.film.id])
        same((added.changed, added.total), (4, 4), "how many were added, and are there")
        again = self._mine.add_items(self._id, items=pictures[:1])
        same((again.changed, again.total), (0, 4), "how many, when they are there already")
        refused(404, "not_found", self._mine.add_items, self._id, items=[self._id])

    def put_in_order(self) -> None:
        first, second, third = (each.id for each in self._gallery.pictures)
        film = self._gallery.film.id
        self._mine.order_items(self._id, items=[third, first], after=None)
        same(self._seen(self._owner), [third, first, second, film], "the order")
        self._mine.order_items(self._id, items=[third], after=second)
        same(self._seen(self._owner), [first, second, third, film], "the order, one moved behind another")
        refused(422, "invalid_input", self._mine.change, self._id, cover=self._friend_picture())
        covered = self._mine.change(self._id, cover=second)
        same((covered.cover, covered.total), (second, 4), "the cover that was chosen")

    def _friend_picture(self) -> str:
        """A picture that the friend has made, which is in no collection yet."""
        browser = self._friend.browser
        if not browser.images.list().first().data:
            browser.jobs.run("sketch-image", prompt="a boat on the beach", width=640, height=640)
        return browser.images.list().first().data[0].id

    def _seen(self, who: Person) -> list[str]:
        """What somebody sees in the collection, in its order."""
        return [each.id for each in who.browser.collections.list_items(self._id)]

    def open_and_close(self) -> None:
        refused(404, "not_found", self._theirs.get, self._id)
        self._mine.change(self._id, public=True)
        same(self._theirs.get(self._id).standing, "public", "what a stranger is to a public collection")
        public = [each.id for each in self._theirs.list(of="public").first().data]
        fulfilled(self._id in public, "it is not among the public ones")
        same(self._seen(self._friend), [self._gallery.pictures[0].id], "what a stranger sees: what is public")
        refused(403, "forbidden", self._theirs.add_items, self._id, items=[self._friend_picture()])
        self._mine.change(self._id, public=False)
        refused(404, "not_found", self._theirs.get, self._id)

    def share(self) -> None:
        link = self._mine.create_link(self._id)
        self._url, self._link_id = link.url, link.id
        page = self._place.fetch(self._url, "the link")  # whoever has the address needs no key
        same(page.status_code, 200, "how the shared page is answered")
        fulfilled(NAME in page.text and "4 pieces" in page.text, "the page does not say what is shared")
        (listed,) = self._mine.list_links(self._id)
        fulfilled(self._url not in str(listed), "the address is shown again")
        eventually(lambda: next(iter(self._mine.list_links(self._id))).views, 1, "how often the page was looked at")
        refused(404, "not_found", self._theirs.list_links, self._id)

    def photograph(self, photos: Photos) -> None:
        photos.take(self._url, "collection")

    def ask_for_password(self) -> None:
        link = self._mine.create_link(self._id, password=PASSWORD)
        with httpx.Client() as visitor:  # one with cookies of its own
            fulfilled(NAME not in visitor.get(link.url).text, "the page tells its name before the password")
            same(visitor.post(link.url, data={"password": "guess"}).status_code, 403, "how a wrong one is answered")
            same(visitor.post(link.url, data={"password": PASSWORD}).status_code, 303, "how the right one is answered")
            fulfilled(NAME in visitor.get(link.url).text, "the page is not shown after the password")

    def end_links(self) -> None:
        short = self._mine.create_link(self._id, expires_at=datetime.now(UTC) + SOON)
        self._mine.revoke_link(self._id, self._link_id)
        same(self._place.fetch(self._url, "the link").status_code, 410, "how a revoked link is answered")
        eventually(lambda: self._place.fetch(short.url, "the link").status_code, 410, "how one that has expired is")
        refused(422, "invalid_input", self._mine.create_link, self._id, expires_at="2020-01-01T00:00:00Z")

    def need_a_plan(self) -> None:
        friend = self._friend.email
        no = refused(403, "forbidden", self._mine.invite_member, self._id, email=friend, role="editor")
        same(no.extra["needed"], "collaborators", "what the plan lacks")
        account_id = self._owner.me().account_id
        self._admin.admin.subscribe_account(account_id, plan="enterprise", reason="agreed by mail")
        same(self._owner.me().plan, "enterprise", "the plan that an operator has begun")
        member = self._mine.invite_member(self._id, email=friend, role="editor")
        same((member.role, member.accepted_at), ("editor", None), "the collaborator, before they accept")
        self._member_id = member.id

    def let_in(self) -> None:
        invitations, picture = self._friend.browser.invitations, self._friend_picture()
        refused(404, "not_found", self._theirs.get, self._id)  # an invitation opens nothing
        (invitation,) = invitations.list()
        same((invitation.name, invitation.role), (NAME, "editor"), "the invitation")
        same(invitations.accept(invitation.id).standing, "editor", "what the friend is to it now")
        same(self._theirs.add_items(self._id, items=[picture]).changed, 1, "what an editor adds")
        same(self._seen(self._friend), self._seen(self._owner), "what both see, private pictures too")
        for wanted in ({"public": True}, {"name": "Ours", "public": True}):
            refused(403, "forbidden", self._theirs.change, self._id, **wanted)
        refused(403, "forbidden", self._theirs.create_link, self._id)

    def demote_and_remove(self) -> None:
        self._mine.change_member(self._id, self._member_id, role="viewer")
        for act in (self._theirs.add_items, self._theirs.remove_items, self._theirs.order_items):
            refused(403, "forbidden", act, self._id, items=[self._gallery.pictures[0].id])
        same(len(self._seen(self._friend)), 5, "how many a viewer sees")
        self._mine.remove_member(self._id, self._member_id)
        refused(404, "not_found", self._theirs.get, self._id)
        same(len(self._seen(self._owner)), 4, "how many are left: the friend's own went along")

    def delete(self) -> None:
        self._mine.delete(self._id)
        refused(404, "not_found", self._mine.get, self._id)
        picture = self._owner.browser.images.get(self._gallery.pictures[0].id)
        same(picture.public, True, "whether a picture of a deleted collection stays as it was")
