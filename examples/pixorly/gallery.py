"""Pixorly's pictures: found, searched, published, liked, kept and deleted (B5, B6)."""

from datetime import UTC, datetime
from typing import Any

import httpx

from examples.pixorly.person import Person
from examples.running import eventually, fulfilled, same

PROMPTS = ("a harbour at dawn", "ice and mountains", "northern lights over a lake")
MODEL = "sketch-image"


class Gallery:
    """What one user has made, and what another sees of it. `pictures` are the user's items, in the order of PROMPTS."""

    def __init__(self, client: httpx.Client, person: Person, friend: Person) -> None:
        self._client, self._person, self._friend = client, person, friend
        self.pictures: list[dict[str, Any]] = []

    def fill(self) -> None:
        browser = self._person.browser
        for number, prompt in enumerate(PROMPTS):
            order = browser.order(MODEL, prompt=prompt, width=1024, height=640, seed=number)
            same(browser.ended(order["id"])["status"], "succeeded", "how it ended")
            (item,) = self._listed(job=order["id"])
            self.pictures.append(item)
        first = self.pictures[0]
        same((first["prompt"], first["model"], first["seed"], first["own"]), (PROMPTS[0], MODEL, 0, True), "an item")
        same(
            (first["width"], first["height"], first["public"]), (1024, 640, False), "its size, and whether it is public"
        )
        for address in (first["url"], first["thumbnail_url"]):
            same(self._client.get(address).status_code, 200, "how the picture is answered")

    def _listed(self, **which: Any) -> list[dict[str, Any]]:
        """The user's pictures, newest first."""
        found: list[dict[str, Any]] = self._person.browser.ask("GET", "/v1/images", params=which)["data"]
        return found

    def find(self) -> None:
        newest_first = [each["id"] for each in reversed(self.pictures)]
        today = str(datetime.now(UTC).date())
        by_model = [each["id"] for each in self._listed(model=MODEL)]
        same(by_model, newest_first, "the pictures of a model, newest first")
        fulfilled(set(newest_first) <= {each["id"] for each in self._listed(**{"from": today})}, "not all are of today")
        same(self._listed(to="2020-01-01"), [], "the pictures of long ago")
        same(self._listed(public=True), [], "the public ones")
        self._person.browser.refused("GET", "/v1/images", 422, "invalid_request", params={"from": "yesterday"})

    def search(self) -> None:
        harbour = self.pictures[0]["id"]
        eventually(lambda: self._found(self._person, "HARBOUR dawn"), [harbour], "what is found by words of its prompt")
        same(self._found(self._person, "harbour -dawn"), [], "what is found without a word")
        same(self._found(self._friend, "harbour"), [], "what another finds among their own")

    def _found(self, who: Person, words: str, of: str = "own") -> list[str]:
        data = who.browser.ask("GET", "/v1/search/images", params={"q": words, "of": of, "limit": 100})["data"]
        return [each["id"] for each in data]

    def publish(self) -> None:
        item = self.pictures[0]["id"]
        path, other = f"/v1/images/{item}", self._friend.browser
        other.refused("GET", path, 404, "not_found")
        other.refused("PATCH", path, 404, "not_found", json={"public": True})
        shown = self._person.browser.ask("PATCH", path, json={"public": True, "title": "Six in the morning"})
        same((shown["public"], shown["title"]), (True, "Six in the morning"), "the picture once it is public")
        same(item in self._fed(order="newest"), True, "whether it is in the feed")
        same(item in self._found(self._friend, "harbour", of="public"), True, "whether others find it")
        seen = other.ask("GET", path)
        same((seen["own"], seen["job"], seen["prompt"]), (False, None, PROMPTS[0]), "what another sees of it")
        self._person.browser.ask("PATCH", path, json={"public": False})
        other.refused("GET", path, 404, "not_found")
        same(item in self._fed(order="newest"), False, "whether it is in the feed, private again")
        self._person.browser.ask("PATCH", path, json={"public": True})

    def _fed(self, **which: Any) -> list[str]:
        """What another sees in the feed."""
        data = self._friend.browser.ask("GET", "/v1/feed", params={**which, "kind": "image", "limit": 100})["data"]
        return [each["id"] for each in data]

    def like(self) -> None:
        item = self.pictures[0]["id"]
        for _ in range(2):
            liked = self._friend.browser.ask("PUT", f"/v1/images/{item}/like")
            same((liked["likes"], liked["liked"]), (1, True), "the likes, after the same user's")
        same(item in self._fed(order="liked"), True, "whether it is among the most liked")
        same(self._person.browser.ask("GET", f"/v1/images/{item}")["liked"], False, "whether its owner likes it")
        left = self._friend.browser.ask("DELETE", f"/v1/images/{item}/like")
        same((left["likes"], left["liked"]), (0, False), "the likes, taken back")

    def make_a_film(self) -> None:
        browser = self._person.browser
        job = browser.ended(browser.order("sketch-video", prompt="sunset over the sea", seed=2)["id"])
        same(job["status"], "succeeded", "how it ended")
        (film,) = browser.ask("GET", "/v1/videos")["data"]
        same((film["job"], film["kind"], film["duration_seconds"]), (job["id"], "video", 5.0), "the film")
        browser.refused("GET", f"/v1/images/{film['id']}", 404, "not_found")
        self.film = film

    def keep(self) -> None:
        browser, place = self._person.browser, f"/v1/jobs/{self.pictures[1]['job']}/outputs/0"
        kept = browser.ask("POST", f"{place}/keep")
        same((kept["kept"], kept["expires_at"]), (True, None), "what is kept until it is deleted")
        same(browser.ask("DELETE", f"{place}/keep")["kept"], False, "whether it is kept, left to its time again")
        self._friend.browser.refused("POST", f"{place}/keep", 404, "not_found")

    def delete(self) -> None:
        browser, gone = self._person.browser, self.pictures[2]
        before = browser.ask("GET", "/v1/storage")
        for _ in range(2):
            browser.ask("DELETE", f"/v1/jobs/{gone['job']}/outputs/0", status=204)
        freed = before["used_bytes"] - browser.ask("GET", "/v1/storage")["used_bytes"]
        fulfilled(
            freed >= gone["size_bytes"], f"of {gone['size_bytes']} bytes that were deleted {freed} are free again"
        )
        browser.refused("GET", f"/v1/images/{gone['id']}", 404, "not_found")
        same(self._client.get(gone["url"]).status_code, 410, "how the address of a deleted picture is answered")
