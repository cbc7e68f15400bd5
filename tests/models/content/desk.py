"""What tests of content share: people of each role, and articles."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from models.access import api_keys
from models.access.audit_log import By
from models.access.scopes import SCOPES, Role
from models.content import articles
from models.content.articles import ArticleRow, ArticleText
from models.db import transaction
from tests.support import account, one

BY = By("tester")


def person(role: Role = "editor") -> tuple[UUID, UUID]:
    """An account whose user has a role: the account and the user."""
    who = account()
    with transaction() as conn:
        conn.execute("update users set role = %s where id = (select user_id from accounts where id = %s)", [role, who])
    return who, one("select user_id from accounts where id = %s", who)[0]


def key_with_all(who: UUID) -> dict[str, str]:
    """The header of a key that has every scope, whatever its user's role makes of them."""
    with transaction() as conn:
        return {"authorization": f"Bearer {api_keys.create(conn, who, api_keys.NewKey('all', scopes=SCOPES))[1]}"}


def head_of(role: Role) -> dict[str, str]:
    """Somebody of this role."""
    return key_with_all(person(role)[0])


def text(title: str = "A title", body: str = "Some words.", **more: Any) -> ArticleText:
    """News, as an editor writes it."""
    return ArticleText(**{"section": "news", "kind": "tool", **more, "title": title, "body": body})


def written(title: str = "A title", body: str = "Some words.", **more: Any) -> ArticleRow:
    """A draft."""
    _, user = person()
    with transaction() as conn:
        return articles.create_article(conn, BY, user, text(title, body, **more))


def shown(
    title: str = "A title", body: str = "Some words.", *, ago: timedelta | None = None, **more: Any
) -> ArticleRow:
    """An article that is published, since now or since a while."""
    row = written(title, body, **more)
    with transaction() as conn:
        at = None if ago is None else one("select app_now()")[0] - ago
        return articles.publish(conn, BY, row.id, at=at)
