"""Lists, reading and search with 1 thousand and with 100 thousand articles stored: pages and buffers read must not grow."""

import itertools
import re
from typing import Any

from psycopg import Connection

from benchmarks.stand import Report, Stand
from models.access.audit_log import By
from models.content import articles, reading, searching
from models.content.articles import ArticleText
from models.content.states import shelves
from models.db import transaction

SIZES = (1_000, 100_000)
PLANTED = """
with made as (
  insert into articles (id, slug, section, kind, state, title, body, tags, premium, html, rendering, opening, plain, search, open_search,
                        published_at, created_by, updated_by)
  select gen_random_uuid(), 'planted-' || n, a.section, a.kind, 'published', 'Planted ' || n, a.body, a.tags, false, a.html, 1, a.opening,
         a.plain, a.search || to_tsvector('simple', 'word' || n || case when n %% 1000 = 0 then ' seldom' else '' end), null,
         app_now() - make_interval(secs => n), a.created_by, a.updated_by
    from generate_series(1, %s) n, articles a where a.slug = 'pattern' returning id, published_at
), counted as (insert into article_counts (article_id) select id from made)
insert into article_shelves (shelf, published_at, article_id)
select shelf, m.published_at, m.id from made m, unnest(%s::text[]) shelf
"""


def measure(stand: Stand, report: Report) -> None:
    """What the database reads for one page, as a ratio of the large to the small."""
    read: dict[int, dict[str, int]] = {}
    for size in SIZES:
        stand.fresh(database=f"articles_{size}")
        _plant(size)
        read[size] = {name: _buffers(run) for name, run in RUNS.items()}
    small, large = SIZES
    for name in RUNS:
        report.add(
            f"{name}, {large:,} articles", read[large][name], "buffers", ratio=read[large][name] / read[small][name],
            to=f"{small:,} articles {read[small][name]:,}",
        )  # fmt: skip


def _plant(size: int) -> None:
    with transaction() as conn:
        conn.execute("set local statement_timeout = '600s'")
        row = conn.execute("select id from users limit 1").fetchone()
        assert row is not None
        text = ArticleText(
            section="news", kind="tool", title="Pattern", body="Some common words. " * 50, tags=["common"]
        )
        made = articles.create_article(conn, By("benchmark"), row[0], text)
        conn.execute(PLANTED, [size, shelves("news", "tool", ["common"])])
        conn.execute("delete from article_counts where article_id = %s", [made.id])
        conn.execute("delete from articles where id = %s", [made.id])
    with transaction() as conn:
        conn.execute("analyze articles, article_shelves, article_counts")


class _Explained:
    """A connection that explains what a verb runs before it answers it, and counts what that reads."""

    def __init__(self, conn: Connection[Any]) -> None:
        self._conn = conn
        self.buffers = 0

    def execute(self, statement: str, values: Any = None) -> Any:
        plan = self._conn.execute(f"explain (analyze, buffers, timing off) {statement}", values).fetchall()
        lines = itertools.takewhile(lambda line: not line.startswith("Planning"), (line for (line,) in plan))
        first = next((line for line in lines if "Buffers:" in line), "")  # what asks no table has none
        self.buffers += sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", first))
        return self._conn.execute(statement, values)


RUNS: dict[str, Any] = {
    "the newest page": reading.list_shown,
    "the newest page of a tag": lambda conn: reading.list_shown(conn, part="tool", tag="common"),
    "one article": lambda conn: reading.read_article(conn, "planted-500"),
    "the months of the sitemap": lambda conn: reading.months_shown(conn, 100),
    "search for a word of one article": lambda conn: searching.search(conn, "word500", reads_on=True),
    "search for a word of a thousandth": lambda conn: searching.search(conn, "seldom", reads_on=True),
    "search for a word of all": lambda conn: searching.search(conn, "common", reads_on=True),
}


def _buffers(run: Any) -> int:
    with transaction() as conn:
        run(conn)  # what is read of the catalogues of the database is known then
        explained = _Explained(conn)
        run(explained)
        return explained.buffers
