"""Reimaji's news and research: written, published, read, and read on by who is pro (D6, D9, D10)."""

import uuid
from datetime import UTC, datetime, timedelta

from headrace_client.models import Article, Paper, Reading

from examples.reimaji.learners import Learner, Learners
from examples.running import Place, eventually, fulfilled, refused, same

BODY = "It is *good*. <b>Really</b>."


class Desk:
    """Two articles, which are there once they are written: news for everybody, and research that is premium."""

    _news: Article
    _research: Article

    def __init__(self, place: Place, learners: Learners) -> None:
        self._place, self._learners = place, learners
        self._desk = learners.admin.content
        self._word = f"weir{uuid.uuid4().hex[:12]}"  # that stands in both, and nowhere else

    def _stands(self, article: Article) -> int:
        """How an article is answered to somebody without a key."""
        where = "/v1/content/articles/"
        return self._place.fetch(where + article.slug, f"{where}{{slug}}").status_code

    def write(self) -> None:
        title, write = f"A tool {self._word}", self._desk.create_article
        refused(422, "invalid_request", write, section="news", kind="gossip", title=title, body=BODY)
        self._news = write(section="news", kind="tool", title=title, body=BODY, tags=[self._word])
        same((self._news.state, self._news.published_at), ("draft", None), "state and date of a new article")
        same(self._stands(self._news), 404, "how a draft is answered")
        learner = self._learners.learner.client.content
        refused(403, "forbidden", learner.create_article, section="news", kind="tool", title=title, body=BODY)

    def publish(self) -> None:
        desk, article = self._desk, self._news
        first = desk.publish_article(article.id).published_at
        same(desk.publish_article(article.id).published_at, first, "the date, published again")
        read = self._learners.learner.client.content.get_article(article.slug)
        same(read.html, "<p>It is <em>good</em>. &lt;b&gt;Really&lt;/b&gt;.</p>\n", "the article as it is read")
        back = desk.unpublish_article(article.id)
        same((back.state, back.published_at == first), ("draft", True), "a draft, and whether it keeps its date")
        same(self._stands(article), 404, "how what was taken back is answered")
        again = desk.publish_article(article.id).published_at
        fulfilled(bool(first and again and again > first), f"published at {first}, and anew at {again}")

    def revise(self) -> None:
        desk, article = self._desk, self._news
        version = desk.get_desk_article(article.id).version
        changed = desk.change_article(article.id, if_match=f'"{version}"', title=f"Two tools {self._word}")
        same((changed.version - version, changed.slug == article.slug), (1, True), "a version more, and the same slug")
        refused(412, "version_changed", desk.change_article, article.id, if_match=f'"{version}"', title="Three tools")
        (revision,) = desk.list_revisions(article.id)
        same(revision.title, article.title, "what it was called")

    def write_premium(self) -> None:
        desk = self._desk
        article = self._research = desk.create_article(
            section="research", title=f"Wheels and {self._word}", body="They turn. " * 50, premium=True,
            implication="A grate pays for itself.", paper=Paper(title="On wheels", year=2026),
            teaser="Twelve wheels were measured.", tags=[self._word],
        )  # fmt: skip
        desk.publish_article(article.id, at=datetime.now(UTC) + timedelta(days=1))
        same(self._stands(article), 404, "how an article is answered before its date")
        desk.unpublish_article(article.id)
        desk.publish_article(article.id)
        same(self._stands(article), 200, "how it is answered then")
        seen = self._as_read_by(self._learners.learner)
        same(
            (seen.may_read, seen.html, seen.implication),
            (False, None, None),
            "may_read, text, implication, to who is free",
        )
        same(seen.teaser, "Twelve wheels were measured.", "the teaser")

    def _as_read_by(self, learner: Learner) -> Reading:
        return learner.client.content.get_article(self._research.slug)

    def read_premium(self) -> None:
        learner = self._learners.learner  # whose new role counts everywhere within five seconds
        eventually(lambda: self._as_read_by(learner).may_read, True, "whether who is pro may read on")
        seen = self._as_read_by(learner).implication
        same(seen, "<p>A grate pays for itself.</p>\n", "the implication, to who is pro")

    def find(self) -> None:
        content = self._learners.learner.client.content
        found = [each.section for each in content.search_articles(q=self._word)]
        same(sorted(found), ["news", "research"], "the sections that are searched together")
        titles = [each.title for each in content.list_articles(tag=self._word, limit=1)]  # page by page, by itself
        same(titles, [self._research.title, f"Two tools {self._word}"], "what has a tag, newest first, page by page")
        tools = [each.slug for each in content.list_articles(tag=self._word, kind="tool")]
        same(tools, [self._news.slug], "what of a kind has the tag")

    def like(self) -> None:
        content, slug = self._learners.learner.client.content, self._news.slug
        for _ in range(2):
            liked = content.like_article(slug)
            same((liked.liked, liked.likes), (True, 1), "the likes, after the same user's")
        eventually(lambda: content.get_article(slug).views > 0, True, "whether views are counted")

    def look_at_figures(self) -> None:
        parts = self._learners.admin.admin.get_stats(days=2).content
        counted = {(each.section, each.kind): each for each in parts}
        for part in (("news", "tool"), ("research", None)):
            fulfilled(counted[part].published >= 1 and counted[part].new >= 1, f"of {part}: {counted[part]}")
        fulfilled(counted["news", "tool"].likes >= 1, f"no likes: {counted['news', 'tool']}")

    def delete(self) -> None:
        same(self._desk.delete_article(self._news.id).state, "deleted", "the article, deleted")
        same(self._stands(self._news), 404, "how a deleted article is answered")
        same(self._desk.restore_article(self._news.id).state, "draft", "the article, restored")
