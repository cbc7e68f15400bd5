"""What a result is, read from its bytes; what the provider claims is not believed.

A file is never read whole: a film of 200 MB costs the memory of its frames. Decoders are told which format to expect,
so that a file cannot choose another one by its content (a playlist, say, that names other files).
"""

import codecs
import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from PIL import Image, ImageOps

MAX_PIXELS = 50_000_000
THUMBNAIL_PIXELS = 256  # the long side
JSON_LIMIT_BYTES = 16 * 1024 * 1024  # larger texts are plain text: nobody wants them parsed in a worker
CHUNK_BYTES = 256 * 1024
PACKETS_TO_A_FRAME = 300  # how many of a film's packets may be broken before the first frame that can be shown
SHORTER_BY_MS = 1000  # how much sound may be missing from what a header promises (encoders pad)

# Pillow refuses what has more pixels before it unpacks anything; below twice the limit it would only warn.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)

_IMAGES = {
    "PNG": ("image/png", "png"),
    "JPEG": ("image/jpeg", "jpg"),
    "WEBP": ("image/webp", "webp"),
    "GIF": ("image/gif", "gif"),
}
_SOUNDS = {
    "OGG": ("audio/ogg", "ogg", "ogg"),
    "FLAC": ("audio/flac", "flac", "flac"),
    "MP3": ("audio/mpeg", "mp3", "mp3"),
}  # media type, extension, the demuxer's name
_SIGNS = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WEBP"),
    (8, b"WAVE", "WAV"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "WEBM"),
    (0, b"OggS", "OGG"),
    (0, b"fLaC", "FLAC"),
    (0, b"ID3", "MP3"),
    (0, b"\xff\xfb", "MP3"),
    (0, b"\xff\xfa", "MP3"),
    (0, b"\xff\xf3", "MP3"),
    (0, b"\xff\xf2", "MP3"),
)
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")  # pictures in the box of a film


class UnusableResult(Exception):
    """The bytes are no result that can be kept. Codes: broken_result, unknown_result, result_too_large, unexpected_page."""

    def __init__(self, code: str, message: str, *, cut_off: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cut_off = cut_off


def kind_of(media_type: str) -> str | None:
    """The kind of model that makes such files."""
    head = media_type.partition("/")[0]
    return {"image": "image", "video": "video", "audio": "speech", "text": "text"}.get(head)


@dataclass(frozen=True, slots=True)
class Media:
    """What a file is. Durations in milliseconds; the thumbnail is a WebP of at most 256 pixels, and
    there is none of a picture that is no larger.
    """

    media_type: str
    extension: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    thumbnail: bytes | None = None


def sniff(head: bytes) -> str | None:
    """The kind of file that begins with these bytes (64 are enough)."""
    for offset, sign, kind in _SIGNS:
        if head[offset : offset + len(sign)] == sign and (offset != 8 or head[:4] == b"RIFF"):
            return None if kind == "MP4" and head[8:12] in _STILL_BRANDS else kind
    return None


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a picture, for `measure_picture`."""
    return sniff(head) in _IMAGES


def measure_picture(data: bytes) -> Media:
    """Type and size of a small picture in memory. Raises UnusableResult where it is broken."""
    kind = sniff(data[:64]) or ""
    with _reading(kind):
        return _image(io.BytesIO(data), kind)


def measure(path: Path) -> Media:
    """Type, size and duration of a file on disk. Raises UnusableResult where it is broken, or nothing we know."""
    with path.open("rb") as file:
        head = file.read(64)
    kind = sniff(head)
    with _reading(kind or "text"):
        if kind in _IMAGES:
            return _image(path, kind)
        if kind == "MP4":
            _check_boxes(path)
            return _film(path, "mov", ("video/quicktime", "mov") if head[8:12] == b"qt  " else ("video/mp4", "mp4"))
        if kind == "WEBM":
            _check_segment(path)
            return _film(path, "matroska", ("video/webm", "webm") if b"webm" in head else ("video/x-matroska", "mkv"))
        if kind == "WAV":
            return _wav(path)
        if kind in _SOUNDS:
            media_type, extension, demuxer = _SOUNDS[kind]
            return Media(media_type, extension, duration_ms=_sound_ms(path, demuxer))
    if head[4:8] == b"ftyp":  # a picture in the box of a film
        raise _unknown()
    return _text(path)


@contextmanager
def _reading(kind: str) -> Iterator[None]:
    """Whatever a decoder raises says that the file is broken, or too large."""
    try:
        yield
    except UnusableResult:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(str(error)) from error
    except Exception as error:  # decoders raise what they like for broken bytes
        raise _broken(f"the result cannot be read as {kind}: {type(error).__name__}") from error


def _broken(message: str) -> UnusableResult:
    return UnusableResult("broken_result", message)


def _too_large(message: str) -> UnusableResult:
    return UnusableResult("result_too_large", message)


def _unknown() -> UnusableResult:
    return UnusableResult("unknown_result", "the result is of no kind that is known")


def _check_pixels(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise _broken(f"{width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width} x {height} pixels; the limit is {MAX_PIXELS}")


# Pictures


def _image(file: Path | BinaryIO, kind: str) -> Media:
    with Image.open(file, formats=(kind,)) as image:
        width, height = image.size
        _check_pixels(width, height)
        image.load()  # a truncated file is found here
        media_type, extension = _IMAGES[kind]
        small = max(width, height) <= THUMBNAIL_PIXELS  # it is its own thumbnail
        return Media(media_type, extension, width, height, thumbnail=None if small else _thumbnail(image))


def _thumbnail(image: Image.Image) -> bytes:
    # Made small first where the mode allows it: a copy of 50 million pixels would be 150 MB more.
    if image.mode not in {"RGB", "RGBA", "L", "LA"}:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BILINEAR, reducing_gap=2.0)
    small = ImageOps.exif_transpose(image)
    out = io.BytesIO()
    small.convert("RGBA" if small.has_transparency_data else "RGB").save(out, "WEBP", quality=75, method=0)
    return out.getvalue()


# Films and sounds


@contextmanager
def _opened(path: Path, demuxer: str) -> Iterator[InputContainer]:
    with av.open(str(path), format=demuxer, options={"protocol_whitelist": "file"}) as container:
        yield container


def _film(path: Path, demuxer: str, kind: tuple[str, str]) -> Media:
    with _opened(path, demuxer) as container:
        if not container.streams.video:
            if not container.streams.audio:
                raise _broken("the film has neither picture nor sound")
            kind = ("audio/mp4", "m4a") if demuxer == "mov" else ("audio/webm", "weba")
            return Media(*kind, duration_ms=_duration_ms(container) or _last_packet_ms(container))
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        _check_pixels(width, height)
        thumbnail = _first_frame(container)
        duration_ms = _duration_ms(container)
    if duration_ms is None:  # a live recording has none in its header: the last packet knows
        with _opened(path, demuxer) as container:
            duration_ms = _last_packet_ms(container)
    return Media(*kind, width, height, duration_ms, thumbnail)


def _first_frame(container: InputContainer) -> bytes:
    """A thumbnail of the first frame that can be decoded."""
    for number, packet in enumerate(container.demux(container.streams.video[0])):
        if number >= PACKETS_TO_A_FRAME:
            break
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            _check_pixels(frame.width, frame.height)
            scale = min(1.0, THUMBNAIL_PIXELS / max(frame.width, frame.height))
            small = frame.reformat(
                max(1, round(frame.width * scale)), max(1, round(frame.height * scale)), format="rgb24"
            )
            return _thumbnail(Image.fromarray(small.to_ndarray()))
    raise _broken("the film has no frame that can be shown")


def _duration_ms(container: InputContainer) -> int | None:
    return None if container.duration is None else round(container.duration * 1000 / av.time_base)


def _last_packet_ms(container: InputContainer) -> int | None:
    """Where the last packet ends: every packet is read, none is decoded."""
    end = 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return round(end * 1000) if end > 0 else None


def _sound_ms(path: Path, demuxer: str) -> int | None:
    """What is really there, compared with what the header promises."""
    with _opened(path, demuxer) as container:
        if not container.streams.audio:
            raise _broken("there is no sound in it")
        start_ms = (container.start_time or 0) * 1000 / av.time_base
        promised_ms = _duration_ms(container)
        found_ms = _last_packet_ms(container)
    if found_ms is None:
        raise _broken("there is no sound in it")
    found_ms = max(0, round(found_ms - start_ms))
    if promised_ms is not None and found_ms + SHORTER_BY_MS < promised_ms:
        raise _broken(f"the sound ends after {found_ms} of {promised_ms} ms")
    return found_ms if promised_ms is None else promised_ms


def _check_boxes(path: Path) -> None:
    """An MP4 is a row of boxes, each with its length: one that ends behind the file says that the file was cut off."""
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            head = file.read(16)
            length, least = int.from_bytes(head[:4], "big"), 8
            if length == 1:
                length, least = int.from_bytes(head[8:16], "big"), 16
            elif length == 0:
                return  # to the end of the file
            if length < least or place + length > size:
                raise _broken("the film ends before its boxes do")
            place += length


def _check_segment(path: Path) -> None:
    """A WebM is a header and a segment, each with its length, which the segment of a live recording leaves open."""
    with path.open("rb") as file:
        for element in (0x1A45DFA3, 0x18538067):
            if _vint(file, keep_marker=True) != element:
                raise _broken("it does not begin like a WebM")
            length = _vint(file, keep_marker=False)
            if length is None:
                return
            end = file.seek(0, io.SEEK_CUR) + length
            if end > path.stat().st_size:
                raise _broken("the film ends before its header says")
            file.seek(end)


def _vint(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """An EBML number; None: it says "unknown" (all ones)."""
    first = file.read(1)
    if not first or not first[0]:
        raise _broken("the film ends in its header")
    more = 8 - first[0].bit_length()
    value = int.from_bytes(first + file.read(more), "big")
    if keep_marker:
        return value
    bits = 7 * (more + 1)
    value &= (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value


def _wav(path: Path) -> Media:
    """Chunks read by hand: the standard library knows only integer samples, and speech is often sent as floats."""
    size, rate = path.stat().st_size, 0
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                break
            if name == b"fmt ":
                body = file.read(16)
                rate = int.from_bytes(body[8:12], "little")  # bytes per second
                length -= len(body)
            file.seek(length + length % 2, io.SEEK_CUR)
        else:
            raise _broken("the sound has no samples")
        left = size - file.tell()
    if rate == 0:
        raise _broken("the sound does not say how fast it is")
    if length in {0, 0xFFFFFFFF, 0x7FFFFFFF} or (length >= 0x7FFFF000 and length > left):
        length = left  # written by a stream, which could not know its length
    if length > left:
        raise _broken("the sound ends before its header says")
    return Media("audio/wav", "wav", duration_ms=round(length * 1000 / rate))


# Texts


def _text(path: Path) -> Media:
    """UTF-8 without control characters; an object or a list that parses is JSON."""
    beginning = ""
    with path.open("rb") as file:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(CHUNK_BYTES):
                text = decoder.decode(chunk)
                if "\x00" in text:
                    raise _unknown()
                beginning = beginning or text.lstrip("\ufeff \t\r\n")[:16]
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _unknown() from error
    if beginning.lower().startswith(("<!doctype", "<html")):
        raise UnusableResult("unexpected_page", "the provider answered with a web page instead of a result")
    if beginning[:1] in {"{", "["} and path.stat().st_size <= JSON_LIMIT_BYTES:
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            pass
        else:
            return Media("application/json", "json")
    return Media("text/plain; charset=utf-8", "txt")
