"""Pictures, with Pillow, which is given what makes up the picture and nothing else."""

import io
import warnings
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image

from storage.media.anatomy import EXIF_BYTES, anatomy
from storage.media.base import MAX_PIXELS, Larger, Media, broken, check_pixels, too_large
from storage.media.boxes import outer_boxes
from storage.media.pieces import Pieces

KINDS = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "WEBP": ("image/webp", "webp"),
    "GIF": ("image/gif", "gif"),
    "AVIF": ("image/avif", "avif"),
}
THUMBNAIL_PIXELS = 256  # the long side
# What may be read outside of the sandbox: not WebP and AVIF, which take memory before they say how large they are.
QUICK_KINDS = {"PNG", "JPEG", "GIF"}
QUICK_PIXELS = 2_500_000
QUICK_STEPS = 2_000  # chunks, segments, frames
WHOLE_BYTES = 128 * 1024 * 1024  # of all but PNG: decoders take files whole into memory, or what goes before the pixels
USUAL_SCANS, MAX_SCANS = 16, 100  # of a JPEG; encoders make eleven or so. More than usual are read of smaller pictures
END_BYTES = 4096  # in which a JPEG's end is looked for: cameras and servers append things

# Pillow refuses what has more pixels before it unpacks anything; below twice the limit it would only warn.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation
SIDEWAYS = {5, 6, 7, 8}  # width and height change places


class Bounds(NamedTuple):
    """What may be read by whoever asks. `steps`: None leaves them to the file's size."""

    pixels: int
    steps: int | None = None
    scans: int = MAX_SCANS


FULL = Bounds(MAX_PIXELS)
QUICK = Bounds(QUICK_PIXELS, QUICK_STEPS, USUAL_SCANS)


def measure(file: BinaryIO, kind: str, bounds: Bounds = FULL) -> Media:
    """Type and size as people see it. Whatever Pillow raises is the caller's to name. Raises Larger, before any pixel is
    unpacked, where it is more than `bounds` allow.
    """
    exif, moving, source, scans = b"", False, file, 1
    if kind != "PNG" and file.seek(0, io.SEEK_END) > WHOLE_BYTES:
        raise too_large(f"a picture of this kind may have {WHOLE_BYTES} bytes")
    if kind in {"WEBP", "AVIF"}:
        _check_container(file, kind)
        if kind == "WEBP":  # Pillow makes room for it before it says how large it is
            check_pixels(*_webp_size(file), bounds.pixels)
        file.seek(0)
    else:
        found = anatomy(file, kind, bounds.steps)
        if bounds.scans < found.scans <= MAX_SCANS:
            raise Larger
        if found.scans > MAX_SCANS:
            raise too_large(f"a picture in {found.scans} scans")
        exif, moving, scans = found.exif, found.frames > 1, found.scans
        source = _source(file, found.pieces)
    try:
        with Image.open(source, formats=(kind,)) as image:
            check_pixels(*image.size, bounds.pixels)
            check_scans(scans, image.width * image.height)
            image.load()  # a truncated file is found here
            if kind in {"WEBP", "AVIF"}:
                exif, moving = image.info.get("exif", b""), getattr(image, "is_animated", False)
            return _seen(image, kind, orientation(exif), moving)
    except OSError as error:
        if kind == "JPEG" and not _jpeg_ends(file):
            raise broken("the picture ends too early", cut_off=True) from error
        raise


def check_scans(scans: int, pixels: int) -> None:
    """Each scan of a progressive JPEG may go over all pixels, and take a hundred bytes to say so."""
    if scans > USUAL_SCANS and scans * pixels > MAX_PIXELS:
        raise too_large(f"{scans} scans of {pixels} pixels")


def _source(file: BinaryIO, pieces: list[tuple[int, int]]) -> BinaryIO:
    """The pieces as a file; mostly they are all of it."""
    if pieces == [(0, file.seek(0, io.SEEK_END))]:
        file.seek(0)
        return file
    return io.BufferedReader(Pieces(file, pieces))


def _check_container(file: BinaryIO, kind: str) -> None:
    size = file.seek(0, io.SEEK_END)
    if kind == "AVIF":
        outer_boxes(file)
        return
    file.seek(4)
    if int.from_bytes(file.read(4), "little") + 8 > size:
        raise broken("the picture ends before its header says", cut_off=True)


def _webp_size(file: BinaryIO) -> tuple[int, int]:
    """What the first chunk says, which the decoder makes room for."""
    file.seek(12)
    head = file.read(18)
    if len(head) < 18:
        raise broken("the picture ends in its header", cut_off=True)
    if head[:4] == b"VP8X":
        return int.from_bytes(head[12:15], "little") + 1, int.from_bytes(head[15:18], "little") + 1
    if head[:4] == b"VP8L":
        bits = int.from_bytes(head[9:13], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[14:16], "little") & 0x3FFF, int.from_bytes(head[16:18], "little") & 0x3FFF


def _jpeg_ends(file: BinaryIO) -> bool:
    file.seek(max(0, file.seek(0, io.SEEK_END) - END_BYTES))
    return b"\xff\xd9" in file.read()


def _seen(image: Image.Image, kind: str, turn: int, moving: bool) -> Media:
    width, height = image.size
    small = max(width, height) <= THUMBNAIL_PIXELS  # it is its own thumbnail
    drawn = None if small else thumbnail(image, turn)
    if turn in SIDEWAYS:
        width, height = height, width
    return Media(*KINDS[kind], width, height, thumbnail=drawn, moving=moving)


def orientation(exif: bytes) -> int:
    """How the picture is to be turned before it is shown, 1 to 8. What cannot be read turns nothing."""
    if exif and len(exif) <= EXIF_BYTES:
        with suppress(Exception):  # it is broken in as many ways as there are cameras
            tags = Image.Exif()
            tags.load(exif)
            turn = tags.get(ExifTags.Base.Orientation, 1)
            return turn if turn in _TURNS else 1
    return 1


def thumbnail(image: Image.Image, turn: int = 1) -> bytes:
    """A WebP whose long side has at most 256 pixels, turned as people see it. `image` is used up."""
    # Made small first where the mode allows it: a copy of 50 million pixels would be 150 MB more.
    deep = image.mode.startswith("I")
    if not deep and image.mode not in {"RGB", "RGBA", "L", "LA"}:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BILINEAR, reducing_gap=None if deep else 2.0)
    if deep:  # grey of 16 bits: Pillow would cut off what is lighter than the darkest 256th
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if turn in _TURNS:
        image = image.transpose(_TURNS[turn])
    out = io.BytesIO()
    image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, "WEBP", quality=75, method=0)
    return out.getvalue()
