"""Pixorly's collections: in order, shared by link, with collaborators (B7)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from examples.callers import Caller
from examples.photos import Photos
from examples.pixorly.gallery import Gallery
from examples.pixorly.person import Person
from examples.running import eventually, fulfilled, same

NAME, PASSWORD = "Harbours before six", "open sesame"
SOON = timedelta(seconds=5)


class Sharing:
    """A collection of one user, who lets another in."""

    def __init__(self, client: httpx.Client, admin: Caller, gallery: Gallery, person: Person, friend: Person) -> None:
        self._client, self._admin, self._gallery = client, admin, gallery
        self._owner, self._friend = person, friend
        self._path = self._link_path = self._url = self._member_path = ""

    def make(self) -> None:
        owner, pictures = self._owner.browser, [each["id"] for each in self._gallery.pictures]
        new = {"name": NAME, "description": "Small ports, and what is behind them."}
        made = [
            owner.ask("POST", "/v1/collections", status=201, once=f"c-{self._owner.id}", json=new) for _ in range(2)
        ]
        same(made[0]["id"], made[1]["id"], "the collection of the same request")
        self._path = f"/v1/collections/{made[0]['id']}"
        added = owner.ask("POST", f"{self._path}/items", json={"items": [*pictures, self._gallery.film["id"]]})
        same(added, {"changed": 4, "total": 4}, "how many were added")
        again = owner.ask("POST", f"{self._path}/items", json={"items": pictures[:1]})
        same(again, {"changed": 0, "total": 4}, "how many were added that are there")
        owner.refused("POST", f"{self._path}/items", 404, "not_found", json={"items": [made[0]["id"]]})

    def put_in_order(self) -> None:
        owner, (first, second, third) = self._owner.browser, (each["id"] for each in self._gallery.pictures)
        film = self._gallery.film["id"]
        owner.ask("POST", f"{self._path}/items/order", json={"items": [third, first], "after": None})
        same(self._seen(owner), [third, first, second, film], "the order")
        owner.ask("POST", f"{self._path}/items/order", json={"items": [third], "after": second})
        same(self._seen(owner), [first, second, third, film], "the order, one moved behind another")
        owner.refused("PATCH", self._path, 422, "invalid_input", json={"cover": self._friend_picture()})
        covered = owner.ask("PATCH", self._path, json={"cover": second})
        same((covered["cover"], covered["total"]), (second, 4), "the cover that was chosen")

    def _friend_picture(self) -> str:
        """A picture that the friend has made, which is in no collection yet."""
        browser = self._friend.browser
        found = browser.ask("GET", "/v1/images")["data"]
        if not found:
            browser.ended(browser.order("sketch-image", prompt="a boat on the beach", width=640, height=640)["id"])
            found = browser.ask("GET", "/v1/images")["data"]
        item_id: str = found[0]["id"]
        return item_id

    def _seen(self, caller: Caller) -> list[str]:
        """What somebody sees in the collection, in its order."""
        return [each["id"] for each in caller.ask("GET", f"{self._path}/items")["data"]]

    def open_and_close(self) -> None:
        owner, friend = self._owner.browser, self._friend.browser
        friend.refused("GET", self._path, 404, "not_found")
        owner.ask("PATCH", self._path, json={"public": True})
        same(friend.ask("GET", self._path)["standing"], "public", "what a stranger is to a public collection")
        public = [each["id"] for each in friend.ask("GET", "/v1/collections", params={"of": "public"})["data"]]
        fulfilled(self._path.rpartition("/")[2] in public, "it is not among the public ones")
        same(self._seen(friend), [self._gallery.pictures[0]["id"]], "what a stranger sees: what is public")
        friend.refused("POST", f"{self._path}/items", 403, "forbidden", json={"items": [self._friend_picture()]})
        owner.ask("PATCH", self._path, json={"public": False})
        friend.refused("GET", self._path, 404, "not_found")

    def share(self) -> None:
        link = self._owner.browser.ask("POST", f"{self._path}/links", status=201, json={})
        self._url, self._link_path = link["url"], f"{self._path}/links/{link['id']}"
        page = self._client.get(self._url)  # whoever has the address needs no key
        same(page.status_code, 200, "how the shared page is answered")
        fulfilled(NAME in page.text and "4 pieces" in page.text, "the page does not say what is shared")
        (listed,) = self._owner.browser.ask("GET", f"{self._path}/links")["data"]
        fulfilled("url" not in listed and link["url"] not in str(listed), "the address is shown again")
        eventually(self._views, 1, "how often the page was looked at")
        self._friend.browser.refused("GET", f"{self._path}/links", 404, "not_found")

    def _views(self) -> int:
        (link,) = self._owner.browser.ask("GET", f"{self._path}/links")["data"]
        views: int = link["views"]
        return views

    def photograph(self, photos: Photos) -> None:
        photos.take(self._url, "collection")

    def ask_for_password(self) -> None:
        link = self._owner.browser.ask("POST", f"{self._path}/links", status=201, json={"password": PASSWORD})
        with httpx.Client() as visitor:  # one with cookies of its own
            fulfilled(NAME not in visitor.get(link["url"]).text, "the page tells its name before the password")
            same(visitor.post(link["url"], data={"password": "guess"}).status_code, 403, "how a wrong one is answered")
            same(
                visitor.post(link["url"], data={"password": PASSWORD}).status_code, 303, "how the right one is answered"
            )
            fulfilled(NAME in visitor.get(link["url"]).text, "the page is not shown after the password")

    def end_links(self) -> None:
        owner, ends = self._owner.browser, datetime.now(UTC) + SOON
        short = owner.ask("POST", f"{self._path}/links", status=201, json={"expires_at": ends.isoformat()})
        owner.ask("DELETE", self._link_path, status=204)
        same(self._client.get(self._url).status_code, 410, "how a revoked link is answered")
        eventually(lambda: self._client.get(short["url"]).status_code, 410, "how a link is answered that has expired")
        past = {"expires_at": "2020-01-01T00:00:00Z"}
        owner.refused("POST", f"{self._path}/links", 422, "invalid_input", json=past)

    def need_a_plan(self) -> None:
        owner, friend = self._owner, {"email": self._friend.email, "role": "editor"}
        no = owner.browser.refused("POST", f"{self._path}/members", 403, "forbidden", json=friend)
        same(no["needed"], "collaborators", "what the plan lacks")
        subscribe = f"/v1/admin/accounts/{owner.me()['account_id']}/subscribe"
        self._admin.ask("POST", subscribe, json={"plan": "enterprise", "reason": "agreed by mail"})
        same(owner.me()["plan"], "enterprise", "the plan that an operator has begun")
        member = owner.browser.ask("POST", f"{self._path}/members", status=201, json=friend)
        same((member["role"], member["accepted_at"]), ("editor", None), "the collaborator, before they accept")
        self._member_path = f"{self._path}/members/{member['id']}"

    def let_in(self) -> None:
        friend, picture = self._friend.browser, self._friend_picture()
        friend.refused("GET", self._path, 404, "not_found")  # an invitation opens nothing
        (invitation,) = friend.ask("GET", "/v1/invitations")["data"]
        same((invitation["name"], invitation["role"]), (NAME, "editor"), "the invitation")
        joined = friend.ask("POST", f"/v1/invitations/{invitation['id']}/accept")
        same(joined["standing"], "editor", "what the friend is to it now")
        same(friend.ask("POST", f"{self._path}/items", json={"items": [picture]})["changed"], 1, "what an editor adds")
        same(self._seen(friend), self._seen(self._owner.browser), "what both see, private pictures too")
        for wanted in ({"public": True}, {"name": "Ours", "public": True}):
            friend.refused("PATCH", self._path, 403, "forbidden", json=wanted)
        friend.refused("POST", f"{self._path}/links", 403, "forbidden", json={})

    def demote_and_remove(self) -> None:
        owner, friend = self._owner.browser, self._friend.browser
        owner.ask("PATCH", self._member_path, json={"role": "viewer"})
        first = {"items": [self._gallery.pictures[0]["id"]]}
        for act in ("/items", "/items/remove", "/items/order"):
            friend.refused("POST", self._path + act, 403, "forbidden", json=first)
        same(len(self._seen(friend)), 5, "how many a viewer sees")
        owner.ask("DELETE", self._member_path, status=204)
        friend.refused("GET", self._path, 404, "not_found")
        same(len(self._seen(owner)), 4, "how many are left: the friend's own went along")

    def delete(self) -> None:
        owner = self._owner.browser
        owner.ask("DELETE", self._path, status=204)
        owner.refused("GET", self._path, 404, "not_found")
        picture: dict[str, Any] = owner.ask("GET", f"/v1/images/{self._gallery.pictures[0]['id']}")
        same(picture["public"], True, "a picture of a deleted collection stays what it is")
