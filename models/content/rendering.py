"""What is made of an article's Markdown: HTML that is safe to show, and plain text to search and to begin with. Pure.

Twice safe: the parser takes no HTML, and what it makes goes through a sanitiser that knows a list of elements and no more.
"""

import html
import re
from typing import NamedTuple

import nh3
from markdown_it import MarkdownIt

RENDERING = 1  # goes up with every change of these rules: what older ones made is made anew when it is read
MAX_NESTING = 20  # levels; what is deeper is left out
OPENING_CHARACTERS = 280
OPENING_PART = 3  # an opening is at most a third of the text, so that a short one is not given away

_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
_TAGS = {
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "pre", "code", "em", "strong", "s", "a",
    "img", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_BLOCKS = re.compile(r"</?(?:p|br|hr|h[1-6]|blockquote|[uo]l|li|pre|table|thead|tbody|tr|t[hd])\b[^>]*>")
_ELEMENTS = re.compile(r"<[^>]*>")
# What no page and no XML may have: control characters, halves of characters, and what is no character.
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# Where a match begins and ends in what the database answers: no text has them, see `_UNFIT`.
MARK, END_MARK = "\x02", "\x03"


class Rendered(NamedTuple):
    """What is stored beside an article's Markdown."""

    html: str
    plain: str
    opening: str


def fit(text: str) -> str:
    """A text without what cannot be shown."""
    return _UNFIT.sub("", text)


def html_of(markdown: str) -> str:
    """Sanitised HTML."""
    return nh3.clean(
        _PARSER.render(fit(markdown)), tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES,
        link_rel="nofollow noopener noreferrer",
    )  # fmt: skip


def plain_of(safe: str) -> str:
    """The text of HTML that `html_of` made."""
    return " ".join(html.unescape(_ELEMENTS.sub("", _BLOCKS.sub(" ", safe))).split())


def render(markdown: str) -> Rendered:
    """All that is made of an article's Markdown."""
    safe = html_of(markdown)
    plain = fit(plain_of(safe))  # a reference such as &#2; may have made a character that the text had not
    return Rendered(safe, plain, opening_of(plain))


def opening_of(plain: str) -> str:
    """The beginning of a text, up to a word's end."""
    most = min(OPENING_CHARACTERS, len(plain) // OPENING_PART)
    if len(plain) <= most:
        return plain
    cut = plain[: most + 1].rpartition(" ")[0]
    return f"{cut}…" if cut else ""


def marked(excerpt: str) -> str:
    """An excerpt of plain text as HTML that has no element but <mark>."""
    return html.escape(excerpt).replace(MARK, "<mark>").replace(END_MARK, "</mark>")
