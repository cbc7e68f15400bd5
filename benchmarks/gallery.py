"""What a page of the gallery reads with 10 thousand and with 1 million items stored: buffers, by `explain analyze` of the very
statements that the routes run, and how long they take beside the first page of one's own. Neither may grow with what is stored.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection

from benchmarks.stand import Report, Stand
from common.settings import settings
from models.db import transaction
from models.gallery import collections, contents, indexing, items, search
from models.gallery.items import WantedItems
from scheduler.duties.gallery import mark_shut

SIZES = (10_000, 1_000_000)
WHO = UUID("00000000-0000-7000-8000-000000000001")
WORDS = 2000  # from which prompts are made, eight each
LOOKS = 5


class Explained:
    """A connection that has each of its queries explained, and sums what they read."""

    def __init__(self, conn: Connection[Any]) -> None:
        self.conn = conn
        self.buffers, self.milliseconds = 0, 0.0

    def execute(self, query: Any, values: Any = None) -> Any:
        """Run a query; what it reads is counted."""
        if isinstance(query, str):
            plan = self.conn.execute(f"explain (analyze, buffers, format json) {query}", values).fetchone()
            assert plan is not None
            top, self.milliseconds = plan[0][0]["Plan"], self.milliseconds + plan[0][0]["Execution Time"]
            self.buffers += top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        return self.conn.execute(query, values)


PAGE = "own, newest"
LOOKS_AT: dict[str, Callable[[Any], object]] = {
    PAGE: lambda conn: items.list_items(conn, WHO, WantedItems("image"), limit=21),
    "own, from the middle": lambda conn: items.list_items(
        conn, WHO, WantedItems("image"), before=_middle(conn), limit=21
    ),
    "own, public": lambda conn: items.list_items(conn, WHO, WantedItems("image", public=True), limit=21),
    "own, a model": lambda conn: items.list_items(conn, WHO, WantedItems("image", model_id="bench"), limit=21),
    "feed, newest": lambda conn: items.feed(conn, WHO, "newest", None, limit=21),
    "feed, most liked": lambda conn: items.feed(conn, WHO, "liked", "image", limit=21),
    "search, own, a rare word": lambda conn: search.search(conn, WHO, "sought", public=False, kind="image", limit=21),
    "search, public, a rare word": lambda conn: search.search(conn, WHO, "sought", public=True, kind="image", limit=21),
    "search, own, a common word": lambda conn: search.search(
        conn, WHO, "harbour", public=False, kind="image", limit=21
    ),
    "search, public, a common word": lambda conn: search.search(
        conn, WHO, "harbour", public=True, kind="image", limit=21
    ),
    "a collection's items": lambda conn: contents.list_items(conn, WHO, _collection(conn), limit=21),
}


def measure(stand: Stand, report: Report, sizes: tuple[int, int] = SIZES) -> None:
    """Two databases of one server; each page is looked at several times, and the median counts."""
    small, large = (dict.fromkeys(LOOKS_AT, (0.0, 0.0)) for _ in sizes)
    for size, found in zip(sizes, (small, large), strict=True):
        stand.fresh(stored_jobs=size, database=f"gallery_{size}")
        fill_gallery()
        for name, look in LOOKS_AT.items():
            looks = [_cost(look) for _ in range(LOOKS)]
            found[name] = (median(each[0] for each in looks), median(each[1] for each in looks))
    for name, (buffers, _) in large.items():
        report.add(
            f"gallery, buffers: {name}, {sizes[1]:,} items", buffers, "", ratio=buffers / max(small[name][0], 1),
            to=f"{sizes[0]:,} items {small[name][0]:,.0f}", aim="< 1.2",
        )  # fmt: skip
    page = large[PAGE][1]
    for name, (_, milliseconds) in large.items():
        report.add(
            f"gallery, time: {name}, {sizes[1]:,} items", milliseconds, "ms", ratio=milliseconds / page, to=f"{PAGE} {page:.2f} ms"
        )  # fmt: skip
    _measure_ban(report)
    begun = time.monotonic()
    with transaction() as conn:
        conn.execute("delete from gallery_items where id in (select id from gallery_items order by id limit 1000)")
        walked = indexing.follow(conn, 1000)
    report.add("gallery, rows that the duty writes", walked.written / (time.monotonic() - begun), "1/s")


def _measure_ban(report: Report) -> None:
    """A third of the accounts is banned, whose public items are the newest: the feed's first page before and after the duty."""
    feed = LOOKS_AT["feed, newest"]
    usual = median(_cost(feed)[1] for _ in range(LOOKS))
    with transaction() as conn:
        banned = [row[0] for row in conn.execute("select id from accounts where id <> %s order by id limit 20", [WHO])]
        conn.execute("set local session_replication_role = replica")
        made = conn.execute(
            "update gallery_items set published_at = app_now() where public and account_id = any(%s)", [banned]
        ).rowcount
        conn.execute(
            "update users set banned = true where id in (select user_id from accounts where id = any(%s))", [banned]
        )
    before = median(_cost(feed)[1] for _ in range(LOOKS))
    begun = time.monotonic()
    while mark_shut(2000):
        pass
    seconds = time.monotonic() - begun
    after = median(_cost(feed)[1] for _ in range(LOOKS))
    report.add(
        f"gallery, feed behind {made:,} items of banned accounts",
        before,
        "ms",
        ratio=before / usual,
        to=f"none {usual:.2f} ms",
    )
    report.add(
        "gallery, the same once the duty has come by",
        after,
        "ms",
        ratio=after / usual,
        to=f"none {usual:.2f} ms",
        aim="< 1.2",
    )
    report.add("gallery, items that the duty marks", made / seconds, "1/s")


def _cost(look: Callable[[Any], object]) -> tuple[int, float]:
    with transaction() as conn:
        explained = Explained(conn)
        look(explained)
    return explained.buffers, explained.milliseconds


def _middle(conn: Any) -> Any:
    return conn.conn.execute(
        "select created_at, id from gallery_items where account_id = %s and kind = 'image' order by created_at desc, id desc offset 70 limit 1",
        [WHO],
    ).fetchone()


def _collection(conn: Any) -> Any:
    row = conn.conn.execute("select id from collections limit 1").fetchone()
    return collections.find(conn.conn, WHO, row[0])


@contextmanager
def _straight() -> Iterator[Connection[Any]]:
    with psycopg.connect(settings().database_url) as conn:
        conn.execute("set session_replication_role = replica")
        yield conn


def fill_gallery() -> None:
    """Write a row for each asset, as the duty would, with prompts of their own; a tenth public, and a collection."""
    chosen = random.Random(7)
    words = ["sought", *(f"{chosen.choice('bcdfgklmnprst')}{chosen.choice('aeiou')}{n}" for n in range(WORDS))]
    with _straight() as conn:
        conn.execute(
            "create temporary table words as select n, word from unnest(%s::text[]) with ordinality as w(word, n)",
            [words],
        )
        conn.execute("create unique index on words (n)")
        conn.execute(
            """insert into gallery_items (id, account_id, kind, model_id, created_at, expires_at, language, words, public, published_at, likes)
                   select s.id, s.account_id, 'image', 'bench', s.created_at - make_interval(secs => s.g), s.expires_at, 'english',
                          to_tsvector('english', case when s.g %% 20 = 0 then 'harbour ' else '' end || (
                            select string_agg(w.word, ' ') from generate_series(1, 8) k
                              join words w on w.n = 1 + abs(hashint8(s.g * 8 + k)) %% %s::int))
                          || array_to_tsvector(array['=' || replace(s.account_id::text, '-', '')]),
                          case when s.g %% 10 = 0 then true end, case when s.g %% 10 = 0 then s.created_at - make_interval(secs => s.g) end,
                          case when s.g %% 10 = 0 then abs(hashint8(s.g)) %% 1000 else 0 end
                     from (select *, row_number() over (order by id) as g from assets) s""",
            [len(words)],
        )
        conn.execute(
            """with c as (insert into collections (id, account_id, name) values (gen_random_uuid(), %s, 'bench') returning id)
               insert into collection_items (collection_id, item_id, position, added_by)
               select c.id, g.id, row_number() over (), g.account_id
                 from c, (select id, account_id from gallery_items where account_id = %s limit 1000) g""",
            [WHO, WHO],
        )
    with psycopg.connect(settings().database_url, autocommit=True) as conn:
        conn.execute("vacuum analyze gallery_items, collection_items, item_likes, assets, jobs")
