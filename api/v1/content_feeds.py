"""/v1/content/feed.rss, feed.atom and the sitemap: what is published, for programs that read. Of what is premium, the teaser."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any
from xml.etree import ElementTree as ET

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api.edge.pace import weigh
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.v1.content_shapes import Tag, page_url
from common.errors import NotFound
from common.settings import settings
from models.content import reading
from models.content.reading import Teaser
from models.content.rendering import fit
from models.content.states import part_of_list
from models.content.tables import NewsKind, Section
from models.db import transaction

router = PrefixRouter(prefix="/v1/content", tags=["content"], route_class=WalledRoute)

FEED_ENTRIES = 50
SITEMAP_MONTHS = 1200  # a hundred years
SITEMAP_ADDRESSES = 10_000  # of a month, the newest; the protocol allows 50,000
KEPT_SECONDS = 300  # by whoever fetches it
ATOM = "http://www.w3.org/2005/Atom"
SITEMAPS = "http://www.sitemaps.org/schemas/sitemap/0.9"
_FEED_SECTION = Annotated[Section | None, Query()]
_FEED_KIND = Annotated[NewsKind | None, Query()]
_FEED_TAG = Annotated[Tag | None, Query()]


def _document(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {}}, "description": "XML."}}


def _xml(request: Request, root: ET.Element, media_type: str) -> Response:
    body = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    weigh(request.scope, len(body))
    return Response(body, media_type=media_type, headers={"cache-control": f"public, max-age={KEPT_SECONDS}"})


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, name, attributes)
    element.text = None if text is None else fit(text)
    return element


def _entries(section: Section | None, kind: NewsKind | None, tag: str | None) -> list[Teaser]:
    part = part_of_list(section, kind)
    with transaction() as conn:
        return reading.list_shown(conn, part=part, tag=tag and tag.lower(), limit=FEED_ENTRIES)


def _own_address(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{settings().public_url}{request.url.path}{query}"


def _last_change(rows: Iterable[Teaser]) -> datetime:
    return max((max(row.updated_at, row.published_at) for row in rows), default=datetime.fromtimestamp(0, UTC))


@router.get(
    "/feed.rss", response_class=Response, responses=_document("application/rss+xml"), summary="Follow articles by RSS"
)
def get_rss_feed(
    request: Request, section: _FEED_SECTION = None, kind: _FEED_KIND = None, tag: _FEED_TAG = None
) -> Response:
    """The newest 50, of all or as the list of articles can be narrowed."""
    return _xml(request, rss(_entries(section, kind, tag), _own_address(request)), "application/rss+xml")


@router.get(
    "/feed.atom",
    response_class=Response,
    responses=_document("application/atom+xml"),
    summary="Follow articles by Atom",
)
def get_atom_feed(
    request: Request, section: _FEED_SECTION = None, kind: _FEED_KIND = None, tag: _FEED_TAG = None
) -> Response:
    """The same as Atom."""
    return _xml(request, atom(_entries(section, kind, tag), _own_address(request)), "application/atom+xml")


def rss(rows: Sequence[Teaser], address: str) -> ET.Element:
    """An RSS 2.0 document."""
    root = ET.Element("rss", {"version": "2.0"})
    channel = _add(root, "channel")
    _add(channel, "title", settings().content_title)
    _add(channel, "link", address)
    _add(channel, "description", settings().content_title)
    _add(channel, "lastBuildDate", format_datetime(_last_change(rows)))
    for row in rows:
        item = _add(channel, "item")
        _add(item, "title", row.title)
        _add(item, "link", page_url(row.slug))
        _add(item, "guid", f"urn:uuid:{row.id}", isPermaLink="false")
        _add(item, "pubDate", format_datetime(row.published_at))
        _add(item, "description", row.teaser)
        for tag in row.tags:
            _add(item, "category", tag)
    return root


def atom(rows: Sequence[Teaser], address: str) -> ET.Element:
    """An Atom 1.0 document."""
    root = ET.Element("feed", {"xmlns": ATOM})
    _add(root, "title", settings().content_title)
    _add(root, "id", address)
    _add(root, "link", rel="self", href=address)
    _add(root, "updated", _last_change(rows).isoformat())
    _add(_add(root, "author"), "name", settings().content_title)
    for row in rows:
        entry = _add(root, "entry")
        _add(entry, "title", row.title)
        _add(entry, "id", f"urn:uuid:{row.id}")
        _add(entry, "link", rel="alternate", href=page_url(row.slug))
        _add(entry, "published", row.published_at.isoformat())
        _add(entry, "updated", max(row.updated_at, row.published_at).isoformat())
        _add(entry, "summary", row.teaser)
        for tag in row.tags:
            _add(entry, "category", term=tag)
    return root


@router.get(
    "/sitemap.xml",
    response_class=Response,
    responses=_document("application/xml"),
    summary="Find all articles, by month",
)
def get_sitemap(request: Request) -> Response:
    """A sitemap index: one sitemap for each month in which something was published."""
    with transaction() as conn:
        months = reading.months_shown(conn, SITEMAP_MONTHS)
    root = ET.Element("sitemapindex", {"xmlns": SITEMAPS})
    for month in months:
        sitemap = _add(root, "sitemap")
        _add(sitemap, "loc", f"{settings().public_url}/v1/content/sitemaps/{month.astimezone(UTC):%Y-%m}.xml")
    return _xml(request, root, "application/xml")


@router.get(
    "/sitemaps/{month}.xml", response_class=Response, responses=_document("application/xml"), summary="Find a month's articles"
)  # fmt: skip
def get_monthly_sitemap(request: Request, month: Annotated[str, Path(description="Such as 2026-11.")]) -> Response:
    """The addresses of the articles of a month, UTC."""
    with transaction() as conn:
        rows = reading.slugs_of_month(conn, _month_of(month), SITEMAP_ADDRESSES)
    root = ET.Element("urlset", {"xmlns": SITEMAPS})
    for slug, changed in rows:
        url = _add(root, "url")
        _add(url, "loc", page_url(slug))
        _add(url, "lastmod", changed.isoformat())
    return _xml(request, root, "application/xml")


def _month_of(text: str) -> datetime:
    """Raises NotFound."""
    try:
        year, month = text.split("-")
        if (len(year), len(month)) != (4, 2) or not (year + month).isascii() or not (year + month).isdigit():
            raise ValueError  # noqa: TRY301 - refused below, like whatever else is no month
        return datetime(int(year), int(month), 1, tzinfo=UTC)
    except ValueError:
        raise NotFound(f"no month {text[:20]!r}", param="month") from None
