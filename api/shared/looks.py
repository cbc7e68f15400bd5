"""What stands on a shared page. Pure: rows become texts and addresses, which the templates write down and escape."""

from typing import NamedTuple
from urllib.parse import quote

from common.links import token_of, url_of
from models.gallery.collections import CollectionRow
from models.gallery.contents import Placed
from models.gallery.items import ItemRow
from models.gallery.words import kind_of

MAX_CAPTION = 300  # characters of what stands on a tile, and of what a picture is said to show
WIDE = 1.6  # a picture so much wider than high takes two places
LARGE_TILE_BYTES = 2_000_000  # of a picture that its tile shows whole; a thumbnail is too small for two places
USUAL_SIZE = (640, 480)  # of what nobody has measured
UNNAMED = {"image": "An image", "video": "A film", "sound": "A sound"}


class Piece(NamedTuple):
    """One item on the page."""

    kind: str
    shape: str  # big, wide, or nothing
    title: str | None
    prompt: str | None
    says: str
    facts: str
    lasts: str | None
    picture: str | None
    file: str
    width: int
    height: int


def pieces_of(rows: list[Placed], *, from_the_start: bool) -> list[Piece]:
    """The items of a page. The first of all is large."""
    return [_piece(each.item, first=number == 0 and from_the_start) for number, each in enumerate(rows)]


def _piece(row: ItemRow, *, first: bool) -> Piece:
    kind = kind_of(row.media_type) or "image"
    file = f"../files/{token_of(row.id)}"  # as seen from /shared/{token}, under whatever a proxy puts before it
    width, height = (row.width, row.height) if row.width and row.height else USUAL_SIZE
    wide = kind != "sound" and width / height >= WIDE
    shape = "wide" if wide else "big" if first and kind != "sound" else ""
    whole = kind == "image" and (not row.thumbnail or (shape != "" and row.size_bytes <= LARGE_TILE_BYTES))
    picture = file if whole else f"{file}?thumbnail=1" if row.thumbnail else None
    return Piece(
        kind=kind,
        shape=shape,
        title=row.title,
        prompt=row.prompt,
        says=shortened(row.title or row.prompt or UNNAMED[kind]),
        facts=_facts(row),
        lasts=lasting(row.duration_ms) if kind != "image" else None,
        picture=picture,
        file=file,
        width=width,
        height=height,
    )


def _facts(row: ItemRow) -> str:
    found = [row.model_id]
    if row.width and row.height:
        found.append(f"{row.width} \N{MULTIPLICATION SIGN} {row.height}")
    if row.duration_ms:
        found.append(lasting(row.duration_ms) or "")
    return ", ".join(found)


def lasting(milliseconds: int | None) -> str | None:
    """How long something is, as people say it."""
    if not milliseconds:
        return None
    seconds = max(1, round(milliseconds / 1000))
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60}:{seconds % 60:02d} min"


def shortened(text: str) -> str:
    """A text in one line that is not too long."""
    plain = " ".join(text.split())
    return plain if len(plain) <= MAX_CAPTION else plain[: MAX_CAPTION - 1].rstrip() + "…"


def owner_of(row: CollectionRow) -> str | None:
    """Who shares it, where that is known."""
    return " ".join(" ".join(filter(None, (row.first_name, row.last_name))).split()) or None


def initials_of(name: str) -> str:
    """The letters that stand for a name."""
    words = name.split()
    return "".join(word[0] for word in (words[0], words[-1])[: len(words)]).upper()


def summary_of(row: CollectionRow, count: str) -> str:
    """What is said of a collection where its link is shown."""
    owner = owner_of(row)
    return shortened(row.description) if row.description else f"{count} by {owner}" if owner else count


def counted(number: int, *, more: bool) -> str:
    """How many pieces there are, on a page or in all."""
    return f"{number}{'+' if more else ''} {'piece' if number == 1 and not more else 'pieces'}"


def picture_of(row: CollectionRow) -> str | None:
    """The whole address of the picture that stands for a collection."""
    return None if row.shown_cover is None else url_of(row.shown_cover, thumbnail=row.cover_has_thumbnail)


def page_address(token: str, cursor: str | None = None) -> str:
    """A page of the collection, as seen from another."""
    return quote(token) + (f"?cursor={quote(cursor)}" if cursor else "")
