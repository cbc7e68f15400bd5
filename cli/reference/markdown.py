"""What pages are put together from."""

from collections.abc import Iterable, Sequence

MADE = "<!-- Made from the code by `make reference`; what is written here by hand is lost. -->"


def page_of(title: str, *blocks: str) -> str:
    """A whole page: its title, and blocks with a line between them."""
    return "\n\n".join([f"# {title}", MADE, *(block for block in blocks if block)]) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what would break a row is written another way."""
    lines = [heads, ["---"] * len(heads), *([cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """A text in one line of a table, without the end that a column has."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`"


def plain(text: str) -> str:
    """A text of the code's, without what Markdown or HTML would take for its own."""
    return text.replace("<", "&lt;").replace("*", "\\*")
