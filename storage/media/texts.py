"""Texts: UTF-8 without the character NUL. An object or a list that parses is JSON, a drawing that parses is SVG."""

import codecs
import json
import re
from xml.parsers import expat

from storage.media import pcm
from storage.media.base import SVG, Media, UnusableResult, broken, unknown
from storage.media.signs import HEAD_BYTES, describe
from storage.media.source import MediaSource

PARSED_BYTES = 16 * 1024 * 1024  # larger texts are plain text: nobody wants them parsed in a worker
CHUNK_BYTES = 256 * 1024
ROOT_CHARACTERS = 65_536  # in which the first element of a page or drawing is looked for
MAX_SIDE = 1_000_000  # of a drawing; what claims more has no size

_PLAIN = Media("text/plain; charset=utf-8", "txt")
_DOCTYPE = re.compile(r"<!doctype\s+([^\s>\[]+)[^>\[]*(\[[^\]]*\]\s*)?>", re.IGNORECASE)
_ELEMENT = re.compile(r"<([a-z][\w.:-]*)", re.IGNORECASE)
_LENGTH = re.compile(r"\s*\+?(\d{1,9}(?:\.\d{0,9})?)\s*(px|pt|pc|mm|cm|in)?\s*$", re.IGNORECASE | re.ASCII)
_PIXELS = {"px": 1.0, "pt": 96 / 72, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
_UNFINISHED = {
    expat.errors.codes[each]
    for each in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}


def measure(source: MediaSource, *, written: bool, raw: pcm.PcmForm | None = None) -> Media:
    """`written`: a text was ordered and came as one, so that a page or a drawing is what was asked for."""
    beginning, whole = _beginning(source)
    if beginning is None:
        if raw is not None:
            return pcm.measure(source.size(), raw)
        with source.open() as file:
            raise unknown(describe(file.read(HEAD_BYTES)))
    if not whole:
        raise broken("the text ends in the middle of a character", cut_off=True)
    small = source.size() <= PARSED_BYTES
    root = "" if written else root_of(beginning)
    if root == "html":
        with source.open() as file:
            message = f"the answer is a web page instead of a result: {describe(file.read(HEAD_BYTES))}"
        raise UnusableResult("unexpected_page", message)
    if root == "svg" and small:
        return _drawing(source.read_bytes()) or _PLAIN
    if beginning[:1] in {"{", "["} and small:
        try:
            json.loads(source.read_bytes())
        except (ValueError, RecursionError):
            pass
        else:
            return Media("application/json", "json")
    return _PLAIN


def _beginning(source: MediaSource) -> tuple[str | None, bool]:
    """How the text begins, and whether its last character is whole. None: it is no text."""
    beginning, decoder = "", codecs.getincrementaldecoder("utf-8")()
    with source.open() as file:
        try:
            while chunk := file.read(CHUNK_BYTES):
                text = decoder.decode(chunk)
                if "\x00" in text:
                    return None, True
                if len(beginning) < ROOT_CHARACTERS:
                    beginning = (beginning + text).lstrip("\ufeff \t\r\n")[:ROOT_CHARACTERS]
        except UnicodeDecodeError:
            return None, True
    return beginning, not decoder.getstate()[0]


def root_of(text: str) -> str:
    """`html`, `svg` or nothing: what the text is by its document type, or by its first element."""
    place = 0
    for _ in range(1000):  # comments and instructions before it
        place = len(text) - len(text[place:].lstrip()) if text[place : place + 1].isspace() else place
        for begin, end in (("<!--", "-->"), ("<?", "?>")):
            if text.startswith(begin, place):
                at = text.find(end, place + len(begin))
                if at < 0:
                    return ""
                place = at + len(end)
                break
        else:
            if (doctype := _DOCTYPE.match(text, place)) is None:
                break
            if doctype[1].lower() in {"html", "svg"}:
                return doctype[1].lower()
            place = doctype.end()
    name = found[1].lower() if (found := _ELEMENT.match(text, place)) else ""
    if name in {"html", "head", "body"}:
        return "html"
    return "svg" if name.rpartition(":")[2] == "svg" else ""


def _drawing(data: bytes) -> Media | None:
    """None: it begins like a drawing, and goes on like a text about one. Nothing is fetched, no entity grows (expat's own limit)."""
    root: dict[str, str] = {}

    def begin(name: str, attributes: dict[str, str]) -> None:
        if not root:
            root.update(attributes, name=name)

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        if error.code in _UNFINISHED:
            raise broken("the drawing ends too early", cut_off=True) from error
        return None
    width, height = _size(root)
    return Media(SVG, "svg", width, height)


def _size(root: dict[str, str]) -> tuple[int | None, int | None]:
    """In pixels of a screen, from width and height or else from the view box."""
    sides: list[float | None] = []
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip()[:200])
    for name, number in (("width", 2), ("height", 3)):
        given = _LENGTH.match(root.get(name, "")[:100]) or (_LENGTH.match(box[number]) if len(box) == 4 else None)
        sides.append(float(given[1]) * _PIXELS[(given[2] or "px").lower()] if given else None)
    width, height = sides
    if width is None or height is None or not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        return None, None
    return round(width), round(height)
