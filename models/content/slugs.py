"""An article's name in addresses, made of its title once."""

import re
from typing import Any

from anyascii import anyascii
from psycopg import Connection

SLUG_CHARACTERS = 80
WITHOUT_WORDS = "article"


def slug_of(title: str) -> str:
    """Small letters, digits and hyphens of a title in any script; never empty."""
    # A picture is spelt `:grinning:`; the colons fall away with the rest.
    words = re.sub(r"[^a-z0-9]+", "-", anyascii(title).lower().replace("'", "")).strip("-")
    if len(words) > SLUG_CHARACTERS:
        cut = words[: SLUG_CHARACTERS + 1].rpartition("-")[0]
        words = cut or words[:SLUG_CHARACTERS]
    return words or WITHOUT_WORDS


def take_slug(conn: Connection[Any], title: str) -> str:
    """A slug that no article has, and none will get: the title's, or with a number from 2 on. Two editors whose slugs could be the same
    wait for each other here.
    """
    base = slug_of(title)
    while True:
        row = conn.execute(
            """insert into slug_counts (base, used) values (%s, 1)
               on conflict (base) do update set used = slug_counts.used + 1 returning used""",
            [base],
        ).fetchone()
        assert row is not None  # noqa: S101 - inserted or updated
        slug = base if row[0] == 1 else f"{base}-{row[0]}"
        # "Top 2" is called what the second "Top" would be. Each slug has a row of its own, by which who begins one meets the other;
        # waits go from shorter names to longer ones, so never in a circle.
        own = (
            slug == base
            or conn.execute(
                "insert into slug_counts (base, used) values (%s, 1) on conflict (base) do nothing", [slug]
            ).rowcount
        )
        if own and conn.execute("select 1 from articles where slug = %s", [slug]).fetchone() is None:
            return slug
