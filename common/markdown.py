"""Markdown that somebody wrote, as HTML that a page can show: what is no harmless markup is left out. Pure."""

import nh3
from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def html_of(markdown: str) -> str:
    """HTML without scripts, styles, forms and frames; HTML within the text is shown as it was written."""
    return nh3.clean(_MARKDOWN.render(markdown))
