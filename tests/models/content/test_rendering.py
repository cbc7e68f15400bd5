"""Markdown of anybody, as a page shows it; and names for addresses."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.content import rendering
from models.content.rendering import END_MARK, MARK, html_of, marked, opening_of, render
from models.content.slugs import SLUG_CHARACTERS, slug_of
from tests.depth import examples

SAFE_ATTRIBUTES = {"href", "src", "alt", "title", "start", "rel"}
FORBIDDEN = {
    "script",
    "svg",
    "math",
    "iframe",
    "style",
    "object",
    "embed",
    "form",
    "input",
    "link",
    "meta",
    "base",
    "div",
    "span",
}


class Walk(HTMLParser):
    """What a browser would make of a page: elements, and attributes with their values."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_decl(self, decl: str) -> None:
        self.comments.append(decl)

    handle_pi = unknown_decl = handle_decl


def assert_is_clean(page: str) -> Walk:
    walk = Walk(page)
    assert set(walk.elements) <= rendering._TAGS
    assert walk.comments == []
    for name, value in walk.attributes:
        assert name in SAFE_ATTRIBUTES, name
        if name in {"href", "src"}:
            scheme = value.split(":", 1)[0].lower() if ":" in value.split("/", 1)[0] else ""
            assert scheme in {"", "http", "https", "mailto"}, value
    assert not set(page) & set(map(chr, [*range(9), 11, 12, *range(14, 32), 127, 0xFFFE, 0xFFFF]))
    return walk


INJECTIONS = {
    "script": "<script>alert(1)</script>", "script in a word": "a<script src=//x.example></script>b",
    "javascript": "[a](javascript:alert(1))", "javascript in capitals": "[a](JaVaScRiPt:alert(1))",
    "javascript by reference": "[a](&#106;avascript:alert(1))", "javascript with a tab": "[a](java\tscript:alert(1))",
    "javascript behind a control": "[a](\x01javascript:alert(1))", "javascript as an autolink": "<javascript:alert(1)>",
    "javascript in a reference": "[a]\n\n[a]: javascript:alert(1)", "vbscript": "[a](vbscript:msgbox(1))",
    "data": "[a](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "data picture": "![a](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)", "javascript picture": "![a](javascript:alert(1))",
    "svg": "<svg onload=alert(1)><circle/></svg>", "on handler": '<img src=x onerror="alert(1)">',
    "on handler in a title": '[a](http://x.example "a\\" onmouseover=alert(1) b=\\"")',
    "on handler in alt": '![a" onerror="alert(1)](http://x.example/a.png)', "quote in an address": '[a](http://x.example/"onclick=alert(1))',
    "comment": "<!-- a --> <!--><script>alert(1)</script>-->", "half a comment": "<!-- a", "cdata": "<![CDATA[<script>alert(1)</script>]]>",
    "instruction": "<?php echo 1 ?>", "doctype": "<!DOCTYPE html>", "iframe": '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "style": "<style>*{background:url(javascript:alert(1))}</style>", "style attribute": '<p style="x:expression(alert(1))">a</p>',
    "math": "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "noscript": '<noscript><p title="</noscript><img src=x onerror=alert(1)>">', "code": "```html\n<script>alert(1)</script>\n```",
    "language of code": '```"><script>alert(1)</script>\na\n```', "table": "|a|\n|-|\n|<script>alert(1)</script>|",
    "broken elements": "<<script>script>alert(1)</</script>script>", "reference to an element": "&lt;script&gt;alert(1)&lt;/script&gt;",
    "NUL": "a\0b<scr\0ipt>", "control by reference": "&#2;a&#3; &#0; &#xFFFE;", "half a character": "a\ud800b",
    "emoji": "😀 👩‍👩‍👧 🏳️‍🌈", "right to left": "مرحبا \u202eabc\u202c עברית", "links in links": "[a [b](http://b.example)](http://a.example)",
    "nothing": "", "spaces": " \n\t\n", "file": "[a](file:///etc/passwd)", "no scheme": "[a](//x.example)",
}  # fmt: skip


@pytest.mark.parametrize("name", INJECTIONS)
def test_whatever_is_written_the_page_is_clean(name: str) -> None:
    made = render(INJECTIONS[name])
    assert_is_clean(made.html)
    assert not set(made.plain + made.opening) & {MARK, END_MARK, "\0", "\ufffe"}


# As long as an article may be.
MOST = 100_000
DEEP = {
    "quotes in quotes": "> " * 10_000 + "x", "quotes without spaces": ">" * 10_000 + "x", "lists in lists": "- " * 10_000 + "x",
    "lists by depth": "\n".join("  " * depth + "- x" for depth in range(300)), "brackets": "[" * MOST, "pictures": "![" * (MOST // 2),
    "links in links": "[" * 10_000 + "a" + "](b)" * 10_000, "stars": "*a " * (MOST // 3), "strong": "**a" * (MOST // 3),
    "ticks": "".join("`" * count + " " for count in range(440)), "elements": "<div>" * (MOST // 5), "cells": "|a|b|\n|-|-|\n" + "|x|y|\n" * 16_000,
    "references": "".join(f"[{number}]: x\n" for number in range(9000)), "ampersands": "&" * MOST, "one word": "a" * MOST,
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_ten_thousand_levels_are_a_clean_page_soon(name: str) -> None:
    begun = time.process_time()
    made = render(DEEP[name][:MOST])
    assert time.process_time() - begun < 20  # of this processor's own time; the worst takes two seconds
    walk = assert_is_clean(made.html)
    assert len(made.html) < 10 * MOST
    assert max((depth for depth in depths(walk, made.html)), default=0) <= 2 * rendering.MAX_NESTING + 5


def depths(_walk: Walk, page: str) -> list[int]:
    """How deep each element stands."""
    found, depth = [], 0
    for part in page.split("<")[1:]:
        name = part.split(">")[0].split()[0].strip("/")
        if name in {"br", "hr", "img"}:
            continue
        depth += -1 if part.startswith("/") else 1
        found.append(depth)
    return found


@given(
    st.text(st.characters(codec=None), max_size=300)
    | st.text("<>[]()*_`!#&;:/\"' =\n|-~javscriptonhref\x00\x02", max_size=300)
)
@settings(max_examples=examples(200), deadline=None)
def test_no_text_makes_a_page_that_is_not_clean(text: str) -> None:
    assert_is_clean(render(text).html)


def test_what_is_fine_is_shown() -> None:
    made = render(
        "# One\n\nA *word*, ~~gone~~, [here](https://a.example/b) & ![p](https://a.example/p.png)\n\n|a|\n|-|\n|b|\n"
    )
    assert made.html.startswith("<h1>One</h1>\n<p>A <em>word</em>, <s>gone</s>, ")
    assert (
        '<a href="https://a.example/b" rel="nofollow noopener noreferrer">here</a> &amp; <img src="https://a.example/p.png" alt="p">'
        in made.html
    )
    assert "<table>" in made.html
    assert made.plain == "One A word, gone, here & a b"


def test_an_opening_gives_away_a_third_at_most_and_ends_with_a_word() -> None:
    assert opening_of("one two three four five six") == "one two…"
    assert opening_of("short") == ""
    assert opening_of("") == ""
    long = opening_of("word " * 500)
    assert (len(long) <= rendering.OPENING_CHARACTERS + 1, long.endswith("word…")) == (True, True)


def test_an_excerpt_has_marks_and_nothing_else_of_html() -> None:
    assert marked(f"<b>{MARK}a&b{END_MARK}</b>") == "&lt;b&gt;<mark>a&amp;b</mark>&lt;/b&gt;"


@pytest.mark.parametrize(("title", "slug"), [
    ("Hello, World!", "hello-world"), ("Crème brûlée", "creme-brulee"), ("Привет мир", "privet-mir"), ("新しいモデル", "xinshiimoderu"),
    ("مرحبا", "mrhb"), ("don't", "dont"), ("  --  ", "article"), ("\u202e", "article"), ("ß & Æ", "ss-ae"), ("10 % off", "10-off"),
    ("日", "ri"), ("½", "1-2"),
])  # fmt: skip
def test_a_title_of_any_script_has_a_name_in_addresses(title: str, slug: str) -> None:
    assert slug_of(title) == slug


def test_a_picture_has_a_name_too_and_a_long_title_ends_with_a_word() -> None:
    assert slug_of("😀").strip("-")
    assert slug_of("word " * 60) == "-".join(["word"] * 16)
    assert slug_of("x" * 300) == "x" * SLUG_CHARACTERS


@given(st.text(max_size=300))
@settings(deadline=None)
def test_a_slug_is_never_empty_and_always_fits_an_address(title: str) -> None:
    slug = slug_of(title)
    assert 0 < len(slug) <= SLUG_CHARACTERS
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug.strip("-") == slug


def test_html_is_shown_as_text() -> None:
    assert html_of("a <b>b</b>\n\n<p>c</p>") == "<p>a &lt;b&gt;b&lt;/b&gt;</p>\n<p>&lt;p&gt;c&lt;/p&gt;</p>\n"
