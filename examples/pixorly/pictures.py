"""Pixorly's generations and what they take of credits and storage (B3, B4, B6)."""

from datetime import datetime
from typing import Any

import httpx

from examples.pixorly.person import Person
from examples.running import fulfilled, same

PRICES = {"dall-e-3": 5, "stable-diffusion": 3, "dall-e-2": 2, "flux-schnell": 1}
# What Pixorly calls a job's states.
THEIRS = {
    "queued": "pending", "running": "processing", "succeeded": "completed", "failed": "failed", "canceled": "failed",
}  # fmt: skip


class Pictures:
    """What one user generates."""

    def __init__(self, client: httpx.Client, person: Person) -> None:
        self._client, self._person = client, person
        self._picture: dict[str, Any] = {}

    def quote(self) -> None:
        for model, wanted in PRICES.items():
            order = {"model": model, "input": {"prompt": "a fox"}}
            quote = self._person.browser.ask("POST", "/v1/quotes", json=order)
            same(quote["credits"], wanted, f"the credits for a picture by {model}")

    def generate(self) -> None:
        browser, before = self._person.browser, self._credits()
        job = browser.order("stable-diffusion", prompt="a fox in the snow", width=512, height=512, seed=7)
        fulfilled(THEIRS[job["status"]] in ("pending", "processing"), f"a new job is {job['status']}")
        done = browser.ended(job["id"])
        same(THEIRS[done["status"]], "completed", "how it ended")
        same((done["credits"]["charged"], self._credits()), (3, before - 3), "what it cost, and what is left")
        times = [datetime.fromisoformat(done[name]) for name in ("created_at", "started_at", "ended_at")]
        same(times, sorted(times), "ordered, started and ended, in this order")
        (self._picture,) = done["outputs"]
        same((self._picture["width"], self._picture["height"]), (512, 512), "the picture's size in pixels")
        answer = self._client.get(self._picture["url"])
        same((answer.status_code, answer.headers["content-type"]), (200, "image/png"), "how the picture is answered")

    def _credits(self) -> int:
        found: int = self._person.me()["balance"]["available"]
        return found

    def fail_and_retry(self) -> None:
        browser, before = self._person.browser, self._credits()
        failed = browser.ended(browser.order("sketch-broken", prompt="what cannot be drawn")["id"])
        same((THEIRS[failed["status"]], failed["credits"]["charged"]), ("failed", 0), "how it ended, and what it cost")
        fulfilled(bool(failed["error"]["message"]), "it does not say why")
        again = browser.ask("POST", f"/v1/jobs/{failed['id']}/retry", status=201)
        same(again["retry_of"], failed["id"], "what the new job tries again")
        browser.ended(again["id"])
        same(self._credits(), before, "the credits after both")

    def look_at_storage(self) -> None:
        storage = self._person.me()["storage"]
        fulfilled(
            self._picture["size_bytes"] <= storage["used_bytes"] < storage["quota_bytes"],
            f"a picture of {self._picture['size_bytes']} bytes landed, and of the storage is said: {storage}",
        )

    def look_at_usage(self) -> None:
        found = self._person.browser.ask("GET", "/v1/usage", params={"by": "day,model"})
        of_day = {row["model"]: row for row in found["rows"]}
        drawn, broken = of_day["stable-diffusion"], of_day["sketch-broken"]
        same(
            (drawn["succeeded"], drawn["credits"], drawn["results"]),
            (1, 3, 1),
            "pictures made, credits spent and results of the day",
        )
        same((broken["failed"], broken["credits"]), (2, 0), "what failed, and what it cost")
        left = found["total"]["bytes_added"] - found["total"]["bytes_removed"]
        same(left, self._person.me()["storage"]["used_bytes"], "the bytes that were added and not removed")
