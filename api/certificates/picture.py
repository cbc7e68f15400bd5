"""A certificate as a picture: A4, across, fit for print. Pure but for the fonts, which are Pillow's own and the machine's."""

import io
import math
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

WIDTH, HEIGHT = 1754, 1240  # A4 at 150 dots per inch
MIDDLE = WIDTH // 2
ROOM = 1340  # for a line of text
PAPER, INK, SOFT, GOLD, PALE = "#fdfbf6", "#1d2a3a", "#5d6875", "#b08d3e", "#e6d9b8"
# Where Pillow's own letters do not do: the first of these that is installed and has them all.
OTHER_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansArabic-Regular.ttf", "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf", "NotoSansCJK-Regular.ttc", "unifont.otf",
)  # fmt: skip
FINER = 4
NO_SUCH_LETTER = "\U0010ffff"
LARGEST_SHEET = 200  # lines of text that are cut: no title is as long


class Wording(NamedTuple):
    """What stands on it."""

    heading: str
    before_name: str
    name: str
    before_course: str
    course: str
    foot: str
    address: str


class NotDrawable(Exception):
    """No font here has all letters of the text."""


@lru_cache(maxsize=64)
def _font(name: str | None, size: int) -> FreeTypeFont | None:
    try:
        found = ImageFont.load_default(size) if name is None else ImageFont.truetype(name, size)
    except OSError:
        return None
    return found if isinstance(found, FreeTypeFont) else None


def plain(text: str) -> str:
    """A text without pictures and what joins them. Pure."""
    kept = [each for each in text if unicodedata.category(each) not in {"So", "Sk", "Cs", "Co", "Cn", "Cc", "Cf"}]
    return " ".join("".join(kept).split())


def _has_all(font: FreeTypeFont, text: str) -> bool:
    unknown = bytes(font.getmask(NO_SUCH_LETTER))
    return all(bytes(font.getmask(each)) != unknown for each in set(text) if not each.isspace())


def _chosen(text: str) -> str | None:
    """The font for a text; None is Pillow's own. Raises NotDrawable."""
    for name in (None, *OTHER_FONTS):
        font = _font(name, 40)
        if font is not None and _has_all(font, text):
            return name
    raise NotDrawable(text)


def is_drawable(wording: Wording) -> bool:
    """Whether fonts here have all letters of a certificate."""
    try:
        for text in (wording.name, wording.course):
            _chosen(plain(text))
    except NotDrawable:
        return False
    return True


def _sized(name: str | None, size: int) -> FreeTypeFont:
    font = _font(name, size)
    assert font is not None  # noqa: S101 - it was chosen because it is there
    return font


def lines_of(text: str, font: FreeTypeFont, width: int) -> list[str]:
    """A text in lines of at most this width; a word that is wider is cut. Pure."""
    found, line = [], ""
    for word in text.split():
        for piece in _pieces(word, font, width):
            longer = f"{line} {piece}" if line else piece
            if line and font.getlength(longer) > width:
                found.append(line)
                longer = piece
            line = longer
    return [*found, line][:LARGEST_SHEET]


def _pieces(word: str, font: FreeTypeFont, width: int) -> list[str]:
    if font.getlength(word) <= width:
        return [word]
    found = [""]
    for letter in word:
        if font.getlength(found[-1] + letter) > width:
            found.append("")
        found[-1] += letter
    return found


def _fitted(text: str, sizes: Sequence[int], most_lines: int) -> tuple[FreeTypeFont, list[str]]:
    """The largest size at which a text has so few lines, and the lines; at the smallest, what is too long ends in dots."""
    name = _chosen(text)
    for size in sizes:
        font = _sized(name, size)
        lines = lines_of(text, font, ROOM)
        if len(lines) <= most_lines:
            return font, _balanced(text, font, lines)
    return font, [*lines[: most_lines - 1], lines[most_lines - 1].rstrip(".") + "…"]


def _balanced(text: str, font: FreeTypeFont, lines: list[str]) -> list[str]:
    """The same number of lines, about as long as each other: no word is left alone."""
    for width in range(ROOM - 80, ROOM // 3, -80):
        narrower = lines_of(text, font, width)
        if len(lines) == 1 or len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def drawn(wording: Wording) -> bytes:
    """The picture, as PNG. Raises NotDrawable."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(sheet)
    _frame(sheet, draw)
    _spaced(draw, 168, wording.heading.upper(), 34, GOLD, gap=14)
    draw.line((MIDDLE - 90, 226, MIDDLE + 90, 226), fill=GOLD, width=2)
    _centred(draw, 292, _fitted(wording.before_name, (32, 26), 1), SOFT)
    below = _centred(draw, 376, _fitted(plain(wording.name), (104, 92, 80, 68, 58, 48, 40), 2), INK)
    draw.line((MIDDLE - 470, below + 34, MIDDLE + 470, below + 34), fill=PALE, width=3)
    below = _centred(draw, below + 82, _fitted(wording.before_course, (32, 26), 1), SOFT)
    _centred(draw, below + 54, _fitted(plain(wording.course), (58, 50, 44, 38, 32), 3), INK)
    _smoothly(sheet, (MIDDLE, 962), 70, _seal)
    _centred(draw, 1058, _fitted(wording.foot, (28, 24), 1), SOFT)
    _centred(draw, 1120, _fitted(wording.address, (20, 18, 16, 14), 1), SOFT)
    written = io.BytesIO()
    sheet.save(written, "PNG", compress_level=4)
    return written.getvalue()


def _frame(sheet: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((44, 44, WIDTH - 45, HEIGHT - 45), outline=GOLD, width=4)
    draw.rectangle((60, 60, WIDTH - 61, HEIGHT - 61), outline=PALE, width=2)
    for x in (60, WIDTH - 61):
        for y in (60, HEIGHT - 61):
            _smoothly(sheet, (x, y), 26, _diamond)


def _smoothly(
    sheet: Image.Image, centre: tuple[int, int], radius: int, paint: Callable[[ImageDraw.ImageDraw, int, int], None]
) -> None:
    """Paint a round piece larger and put it on smaller: Pillow's own edges have steps. `paint` has its centre and a unit."""
    side = 2 * radius
    box = (centre[0] - radius, centre[1] - radius)
    piece = sheet.crop((*box, box[0] + side, box[1] + side)).resize((side * FINER, side * FINER))
    paint(ImageDraw.Draw(piece), radius * FINER, FINER)
    sheet.paste(piece.resize((side, side), Image.Resampling.LANCZOS), box)


def _diamond(draw: ImageDraw.ImageDraw, centre: int, unit: int) -> None:
    for size, colour in ((24, GOLD), (20, PAPER), (10, GOLD)):
        far = size * unit
        draw.polygon(
            [(centre, centre - far), (centre + far, centre), (centre, centre + far), (centre - far, centre)],
            fill=colour,
        )


def _centred(draw: ImageDraw.ImageDraw, top: int, fitted: tuple[FreeTypeFont, list[str]], colour: str) -> int:
    """Draw lines below each other. Returns where they end."""
    font, lines = fitted
    height = round(font.size * 1.25)
    for number, line in enumerate(lines):
        draw.text((MIDDLE, top + number * height), line, fill=colour, font=font, anchor="ma")
    return top + len(lines) * height


def _spaced(draw: ImageDraw.ImageDraw, top: int, text: str, size: int, colour: str, *, gap: int) -> None:
    font = _sized(_chosen(text), size)
    x = MIDDLE - (sum(font.getlength(each) + gap for each in text) - gap) / 2
    for each in text:
        draw.text((x, top), each, fill=colour, font=font)
        x += font.getlength(each) + gap


def _seal(draw: ImageDraw.ImageDraw, centre: int, unit: int) -> None:
    rim = []
    for step in range(48):
        radius = (66 if step % 2 else 59) * unit
        angle = math.tau * step / 48
        rim.append((centre + radius * math.cos(angle), centre + radius * math.sin(angle)))
    draw.polygon(rim, fill=GOLD)
    ring = 46 * unit
    draw.ellipse((centre - ring, centre - ring, centre + ring, centre + ring), outline=PAPER, width=3 * unit)
    tick = [(centre + x * unit, centre + y * unit) for x, y in ((-20, 2), (-5, 17), (22, -15))]
    draw.line(tick, fill=PAPER, width=7 * unit, joint="curve")
