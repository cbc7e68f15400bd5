"""Reimaji's news and research: written, published, read, and read on by who is pro (D6, D9, D10)."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from examples.reimaji.learners import Learner, Learners
from examples.running import eventually, fulfilled, same

DESK, READ = "/v1/content/desk/articles", "/v1/content/articles"


class Desk:
    """Two articles: news for everybody, and research that is premium."""

    def __init__(self, client: httpx.Client, learners: Learners) -> None:
        self._client, self._learners = client, learners
        self._word = f"weir{uuid.uuid4().hex[:12]}"  # that stands in both, and nowhere else
        self._news: dict[str, Any] = {}
        self._research: dict[str, Any] = {}

    def _stands(self, article: dict[str, Any]) -> int:
        """How an article is answered to somebody without a key."""
        return self._client.get(f"{READ}/{article['slug']}").status_code

    def write(self) -> None:
        admin = self._learners.admin
        text = {"section": "news", "title": f"A tool {self._word}", "body": "It is *good*. <b>Really</b>."}
        admin.refused("POST", DESK, 422, "invalid_request", json={**text, "kind": "gossip"})
        self._news = admin.ask("POST", DESK, status=201, json={**text, "kind": "tool", "tags": [self._word]})
        same((self._news["state"], self._news["published_at"]), ("draft", None), "a new article")
        same(self._stands(self._news), 404, "how a draft is answered")
        self._learners.learner.caller.refused("POST", DESK, 403, "forbidden", json={**text, "kind": "tool"})

    def publish(self) -> None:
        admin, path = self._learners.admin, f"{DESK}/{self._news['id']}"
        first = admin.ask("POST", f"{path}/publish", json={})
        same(admin.ask("POST", f"{path}/publish", json={})["published_at"], first["published_at"], "published again")
        read = self._client.get(f"{READ}/{self._news['slug']}").json()
        same(read["html"], "<p>It is <em>good</em>. &lt;b&gt;Really&lt;/b&gt;.</p>\n", "the article as it is read")
        back = admin.ask("POST", f"{path}/unpublish")
        same((back["state"], back["published_at"]), ("draft", first["published_at"]), "a draft that keeps its date")
        same(self._stands(self._news), 404, "how what was taken back is answered")
        again = admin.ask("POST", f"{path}/publish", json={})["published_at"]
        fulfilled(again > first["published_at"], f"published at {first['published_at']}, and anew at {again}")

    def revise(self) -> None:
        admin, path = self._learners.admin, f"{DESK}/{self._news['id']}"
        version = admin.ask("GET", path)["version"]
        seen = {"If-Match": f'"{version}"'}
        changed = admin.ask("PATCH", path, headers=seen, json={"title": f"Two tools {self._word}"})
        same(
            (changed["version"], changed["slug"]),
            (version + 1, self._news["slug"]),
            "version and slug of a changed one",
        )
        admin.refused("PATCH", path, 412, "version_changed", headers=seen, json={"title": "Three tools"})
        (revision,) = admin.ask("GET", f"{path}/revisions")["data"]
        same(revision["title"], self._news["title"], "what it was called")

    def write_premium(self) -> None:
        admin = self._learners.admin
        wanted = {
            "section": "research", "title": f"Wheels and {self._word}", "body": "They turn. " * 50, "premium": True,
            "implication": "A grate pays for itself.", "paper": {"title": "On wheels", "year": 2026},
            "teaser": "Twelve wheels were measured.", "tags": [self._word],
        }  # fmt: skip
        self._research = admin.ask("POST", DESK, status=201, json=wanted)
        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        admin.ask("POST", f"{DESK}/{self._research['id']}/publish", json={"at": later})
        same(self._stands(self._research), 404, "how an article is answered before its date")
        admin.ask("POST", f"{DESK}/{self._research['id']}/unpublish")
        admin.ask("POST", f"{DESK}/{self._research['id']}/publish", json={})
        anybody = self._client.get(f"{READ}/{self._research['slug']}").json()
        for seen in (anybody, self._as_read_by(self._learners.learner)):
            found = tuple(seen[name] for name in ("may_read", "html", "implication", "teaser"))
            same(found, (False, None, None, "Twelve wheels were measured."), "a premium article, to who is free")

    def _as_read_by(self, learner: Learner) -> dict[str, Any]:
        found: dict[str, Any] = learner.caller.ask("GET", f"{READ}/{self._research['slug']}")
        return found

    def read_premium(self) -> None:
        learner = self._learners.learner  # whose new role counts everywhere within five seconds
        eventually(lambda: self._as_read_by(learner)["may_read"], True, "whether who is pro may read on")
        seen = self._as_read_by(learner)["implication"]
        same(seen, "<p>A grate pays for itself.</p>\n", "the implication, to who is pro")

    def find(self) -> None:
        found = self._client.get("/v1/content/search", params={"q": self._word}).json()["data"]
        same({each["section"] for each in found}, {"news", "research"}, "the sections that are searched together")
        tagged: dict[str, str | int] = {"tag": self._word, "limit": 1}
        first = self._client.get(READ, params=tagged).json()
        rest = self._client.get(READ, params={**tagged, "cursor": first["next"]}).json()
        titles = [each["title"] for each in first["data"] + rest["data"]]
        same(titles, [self._research["title"], f"Two tools {self._word}"], "what has a tag, newest first, page by page")
        tools = self._client.get(READ, params={**tagged, "kind": "tool"}).json()["data"]
        same([each["slug"] for each in tools], [self._news["slug"]], "what of a kind has the tag")

    def like(self) -> None:
        path = f"{READ}/{self._news['slug']}"
        for _ in range(2):
            liked = self._learners.learner.caller.ask("PUT", f"{path}/like")
            same(liked, {"liked": True, "likes": 1}, "the likes, after the same user's")
        eventually(lambda: self._client.get(path).json()["views"] > 0, True, "whether views are counted")

    def look_at_figures(self) -> None:
        parts = self._learners.admin.ask("GET", "/v1/admin/stats", params={"days": 2})["content"]
        counted = {(each["section"], each["kind"]): each for each in parts}
        for part in (("news", "tool"), ("research", None)):
            fulfilled(counted[part]["published"] >= 1 and counted[part]["new"] >= 1, f"of {part}: {counted[part]}")
        fulfilled(counted["news", "tool"]["likes"] >= 1, f"no likes: {counted['news', 'tool']}")

    def delete(self) -> None:
        admin, path = self._learners.admin, f"{DESK}/{self._news['id']}"
        same(admin.ask("DELETE", path)["state"], "deleted", "the article, deleted")
        same(self._stands(self._news), 404, "how a deleted article is answered")
        same(admin.ask("POST", f"{path}/restore")["state"], "draft", "the article, restored")
