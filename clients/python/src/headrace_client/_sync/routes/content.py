"""`client.content`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import (
    Article,
    ArticleHead,
    ArticlePage,
    Citation,
    DeskPage,
    Found,
    FoundPage,
    Like,
    Paper,
    Reading,
    Revision,
    RevisionPage,
    Teaser,
    WholeRevision,
)


class ContentRoutes:
    """`client.content`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list_articles(
        self,
        *,
        section: Literal["news", "research"] | Omit | None = OMIT,
        kind: Literal["tool", "use_case", "regulation"] | Omit | None = OMIT,
        tag: str | Omit | None = OMIT,
        limit: int | Omit = OMIT,
    ) -> Pager[Teaser, ArticlePage]:
        """List articles. `GET /v1/content/articles`.

        News and research together, or a section, a kind of news, a tag, or a tag of one of these; newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/content/articles", query={"section": section, "kind": kind, "tag": tag, "limit": limit}),
            ArticlePage,
            lambda page: page.data,
        )

    def get_article(self, slug: str) -> Reading:
        """Read an article. `GET /v1/content/articles/{slug}`.

        The whole of it; of a premium article only the teaser, unless your key is of somebody who is pro, editor or admin.

        Args:
            slug: A text that is none names nothing: 404.
        """
        return self._sender.ask(Call("GET", "/v1/content/articles/{slug}", at={"slug": slug}), Reading)

    def unlike_article(self, slug: str) -> Like:
        """Like an article no more. `DELETE /v1/content/articles/{slug}/like`.

        Takes a like back, if there is one.

        Args:
            slug: A text that is none names nothing: 404.
        """
        return self._sender.ask(Call("DELETE", "/v1/content/articles/{slug}/like", at={"slug": slug}), Like)

    def like_article(self, slug: str) -> Like:
        """Like an article. `PUT /v1/content/articles/{slug}/like`.

        Once per user, however often it is said.

        Args:
            slug: A text that is none names nothing: 404.
        """
        return self._sender.ask(Call("PUT", "/v1/content/articles/{slug}/like", at={"slug": slug}), Like)

    def list_desk_articles(
        self, *, state: Literal["draft", "published", "deleted"] | Omit | None = OMIT, limit: int | Omit = OMIT
    ) -> Pager[ArticleHead, DeskPage]:
        """List articles as an editor. `GET /v1/content/desk/articles`.

        Drafts, published and deleted ones.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/content/desk/articles", query={"state": state, "limit": limit}),
            DeskPage,
            lambda page: page.data,
        )

    def create_article(
        self,
        *,
        body: str,
        section: Literal["news", "research"],
        title: str,
        citations: Sequence[Citation] | Omit = OMIT,
        implication: str | Omit | None = OMIT,
        kind: Literal["tool", "use_case", "regulation"] | Omit | None = OMIT,
        paper: Paper | Omit | None = OMIT,
        premium: bool | Omit = OMIT,
        tags: Sequence[str] | Omit = OMIT,
        teaser: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Article:
        """Begin an article. `POST /v1/content/desk/articles`.

        A draft, which only editors see.

        Args:
            body: Markdown; HTML in it is shown as text.
            citations: Of research alone.
            implication: Markdown; of research alone.
            kind: News has one, research has none.
            paper: Of research alone.
            premium: Only who is pro, editor or admin reads on.
            teaser: Null: the beginning of the body.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/content/desk/articles",
                body={
                    "body": body,
                    "section": section,
                    "title": title,
                    "citations": citations,
                    "implication": implication,
                    "kind": kind,
                    "paper": paper,
                    "premium": premium,
                    "tags": tags,
                    "teaser": teaser,
                },
                once=True,
                key=idempotency_key,
            ),
            Article,
        )

    def delete_article(self, article_id: str, *, if_match: str | Omit = OMIT) -> Article:
        """Delete an article. `DELETE /v1/content/desk/articles/{article_id}`.

        Nobody but editors sees it any more, and they may restore it.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
        """
        return self._sender.ask(
            Call(
                "DELETE",
                "/v1/content/desk/articles/{article_id}",
                at={"article_id": article_id},
                headers={"If-Match": if_match},
            ),
            Article,
        )

    def get_desk_article(self, article_id: str) -> Article:
        """Look at an article as an editor. `GET /v1/content/desk/articles/{article_id}`.

        Its Markdown and its HTML, whatever its state. The ETag is its version.
        """
        return self._sender.ask(
            Call("GET", "/v1/content/desk/articles/{article_id}", at={"article_id": article_id}), Article
        )

    def change_article(
        self,
        article_id: str,
        *,
        if_match: str | Omit = OMIT,
        body: str | Omit | None = OMIT,
        citations: Sequence[Citation] | Omit | None = OMIT,
        implication: str | Omit | None = OMIT,
        kind: Literal["tool", "use_case", "regulation"] | Omit | None = OMIT,
        paper: Paper | Omit | None = OMIT,
        premium: bool | Omit | None = OMIT,
        tags: Sequence[str] | Omit | None = OMIT,
        teaser: str | Omit | None = OMIT,
        title: str | Omit | None = OMIT,
    ) -> Article:
        """Change an article. `PATCH /v1/content/desk/articles/{article_id}`.

        What it said before is kept as a revision; its slug stays. If-Match is needed: of two editors who change one version,
        the second gets 412 with the version that there is now.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
            implication: Markdown; of research alone.
            paper: Of research alone.
            teaser: Null: the beginning of the body.
        """
        return self._sender.ask(
            Call(
                "PATCH",
                "/v1/content/desk/articles/{article_id}",
                at={"article_id": article_id},
                headers={"If-Match": if_match},
                body={
                    "body": body,
                    "citations": citations,
                    "implication": implication,
                    "kind": kind,
                    "paper": paper,
                    "premium": premium,
                    "tags": tags,
                    "teaser": teaser,
                    "title": title,
                },
            ),
            Article,
        )

    def publish_article(
        self, article_id: str, *, if_match: str | Omit = OMIT, at: dt.datetime | Omit | None = OMIT
    ) -> Article:
        """Publish an article. `POST /v1/content/desk/articles/{article_id}/publish`.

        It bears the date of now, or of `at`, and is shown from then on. What was taken back gets a new date; what is shown
        already keeps its own, unless `at` is given.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
            at: A time that lies ahead: it is shown from then on, to the second.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/content/desk/articles/{article_id}/publish",
                at={"article_id": article_id},
                headers={"If-Match": if_match},
                body={"at": at},
            ),
            Article,
        )

    def restore_article(self, article_id: str, *, if_match: str | Omit = OMIT) -> Article:
        """Restore an article. `POST /v1/content/desk/articles/{article_id}/restore`.

        A deleted article is a draft again.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/content/desk/articles/{article_id}/restore",
                at={"article_id": article_id},
                headers={"If-Match": if_match},
            ),
            Article,
        )

    def list_revisions(self, article_id: str, *, limit: int | Omit = OMIT) -> Pager[Revision, RevisionPage]:
        """List what an article was. `GET /v1/content/desk/articles/{article_id}/revisions`.

        One revision for each change of what it says, the latest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call(
                "GET",
                "/v1/content/desk/articles/{article_id}/revisions",
                at={"article_id": article_id},
                query={"limit": limit},
            ),
            RevisionPage,
            lambda page: page.data,
        )

    def get_revision(self, article_id: str, number: int) -> WholeRevision:
        """Look at a revision. `GET /v1/content/desk/articles/{article_id}/revisions/{number}`.

        All that the article said then.
        """
        return self._sender.ask(
            Call(
                "GET",
                "/v1/content/desk/articles/{article_id}/revisions/{number}",
                at={"article_id": article_id, "number": number},
            ),
            WholeRevision,
        )

    def restore_revision(self, article_id: str, number: int, *, if_match: str | Omit = OMIT) -> Article:
        """Say again what an article was. `POST /v1/content/desk/articles/{article_id}/revisions/{number}/restore`.

        What it says now is kept as a revision as well. If-Match is needed, as for a change.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/content/desk/articles/{article_id}/revisions/{number}/restore",
                at={"article_id": article_id, "number": number},
                headers={"If-Match": if_match},
            ),
            Article,
        )

    def unpublish_article(self, article_id: str, *, if_match: str | Omit = OMIT) -> Article:
        """Take an article back. `POST /v1/content/desk/articles/{article_id}/unpublish`.

        It is a draft again, and keeps its date until it is published anew.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/content/desk/articles/{article_id}/unpublish",
                at={"article_id": article_id},
                headers={"If-Match": if_match},
            ),
            Article,
        )

    def get_atom_feed(
        self,
        *,
        section: Literal["news", "research"] | Omit | None = OMIT,
        kind: Literal["tool", "use_case", "regulation"] | Omit | None = OMIT,
        tag: str | Omit | None = OMIT,
    ) -> str:
        """Follow articles by Atom. `GET /v1/content/feed.atom`.

        The same as Atom.
        """
        return self._sender.ask_text(
            Call("GET", "/v1/content/feed.atom", query={"section": section, "kind": kind, "tag": tag})
        )

    def get_rss_feed(
        self,
        *,
        section: Literal["news", "research"] | Omit | None = OMIT,
        kind: Literal["tool", "use_case", "regulation"] | Omit | None = OMIT,
        tag: str | Omit | None = OMIT,
    ) -> str:
        """Follow articles by RSS. `GET /v1/content/feed.rss`.

        The newest 50, of all or as the list of articles can be narrowed.
        """
        return self._sender.ask_text(
            Call("GET", "/v1/content/feed.rss", query={"section": section, "kind": kind, "tag": tag})
        )

    def search_articles(
        self, *, q: str, section: Literal["news", "research"] | Omit | None = OMIT, limit: int | Omit = OMIT
    ) -> Pager[Found, FoundPage]:
        """Search articles. `GET /v1/content/search`.

        Titles, tags and bodies of news and research together, the best first. Of premium articles the body is searched for those
        who may read it.

        Args:
            q: Words; "a phrase"; this or that; -without. The last may be a part.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/content/search", query={"q": q, "section": section, "limit": limit}),
            FoundPage,
            lambda page: page.data,
        )

    def get_sitemap(self) -> str:
        """Find all articles, by month. `GET /v1/content/sitemap.xml`.

        A sitemap index: one sitemap for each month in which something was published.
        """
        return self._sender.ask_text(Call("GET", "/v1/content/sitemap.xml"))

    def get_monthly_sitemap(self, month: str) -> str:
        """Find a month's articles. `GET /v1/content/sitemaps/{month}.xml`.

        The addresses of the articles of a month, UTC.

        Args:
            month: Such as 2026-11.
        """
        return self._sender.ask_text(Call("GET", "/v1/content/sitemaps/{month}.xml", at={"month": month}))
