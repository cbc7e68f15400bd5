"""What a result is, read from its bytes; what the provider claims is not believed."""

import io
import json
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image

MAX_PIXELS = 50_000_000
THUMBNAIL_PIXELS = 256  # the long side
TEXT_LIMIT_BYTES = 16 * 1024 * 1024

_IMAGES = {"PNG": ("image/png", "png"), "JPEG": ("image/jpeg", "jpg"), "WEBP": ("image/webp", "webp"), "GIF": ("image/gif", "gif")}  # fmt: skip


class UnusableResult(Exception):
    """The bytes are no result that can be kept."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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
    (0, b"\xff\xf3", "MP3"),
)


def sniff(head: bytes) -> str | None:
    """The kind of file that begins with these bytes (16 are enough)."""
    for offset, sign, kind in _SIGNS:
        if head[offset : offset + len(sign)] == sign and (offset != 8 or head[:4] == b"RIFF"):
            return kind
    return None


def measure(path: Path) -> Media:
    """Type, size and duration of a file on disk. Raises UnusableResult where it is broken, or nothing we know."""
    with path.open("rb") as file:
        head = file.read(64)
    kind = sniff(head)
    try:
        if kind is not None and kind in _IMAGES:
            return _image(path, kind)
        if kind in {"MP4", "WEBM"}:
            return _video(path, kind)
        if kind == "WAV":
            return _wav(path)
        if kind in {"OGG", "FLAC", "MP3"}:
            types = {"OGG": ("audio/ogg", "ogg"), "FLAC": ("audio/flac", "flac"), "MP3": ("audio/mpeg", "mp3")}
            return Media(*types[kind], duration_ms=_container_ms(path))
    except UnusableResult:
        raise
    except Exception as error:  # decoders raise what they like for broken bytes
        raise UnusableResult("broken_result", f"the result cannot be read as {kind}: {type(error).__name__}") from error
    return _text(path)


def _image(path: Path, kind: str) -> Media:
    with Image.open(path, formats=(kind,)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UnusableResult("result_too_large", f"{width} x {height} pixels; the limit is {MAX_PIXELS}")
        image.load()  # a truncated file is found here
        media_type, extension = _IMAGES[kind]
        small = max(width, height) <= THUMBNAIL_PIXELS  # it is its own thumbnail
        return Media(media_type, extension, width, height, thumbnail=None if small else _thumbnail(image))


def _thumbnail(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BILINEAR, reducing_gap=2.0)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=75, method=0)
    return out.getvalue()


def _video(path: Path, kind: str) -> Media:
    with av.open(str(path)) as container:
        if not container.streams.video:
            if container.streams.audio and kind == "MP4":
                return Media("audio/mp4", "m4a", duration_ms=_ms(container))
            raise UnusableResult("broken_result", "the film has no picture")
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_PIXELS:
            raise UnusableResult("result_too_large", f"{width} x {height} pixels; the limit is {MAX_PIXELS}")
        thumbnail = None
        for frame in container.decode(stream):
            thumbnail = _thumbnail(Image.fromarray(frame.to_ndarray(format="rgb24")))
            break
        if thumbnail is None:
            raise UnusableResult("broken_result", "the film has no frame that can be shown")
        media_type, extension = ("video/mp4", "mp4") if kind == "MP4" else ("video/webm", "webm")
        return Media(media_type, extension, width, height, _ms(container), thumbnail)


def _ms(container: Any) -> int | None:
    return None if container.duration is None else round(container.duration * 1000 / av.time_base)


def _container_ms(path: Path) -> int | None:
    with av.open(str(path)) as container:
        return _ms(container)


def _wav(path: Path) -> Media:
    with wave.open(str(path)) as file:
        frames, rate = file.getnframes(), file.getframerate()
        promised = frames * file.getnchannels() * file.getsampwidth()
    if promised > path.stat().st_size:
        raise UnusableResult("broken_result", "the sound ends before its header says")
    return Media("audio/wav", "wav", duration_ms=round(frames * 1000 / rate))


def _text(path: Path) -> Media:
    if path.stat().st_size > TEXT_LIMIT_BYTES:
        raise UnusableResult("unknown_result", "the result is of no kind that is known")
    try:
        text = path.read_text("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise UnusableResult("unknown_result", "the result is of no kind that is known") from error
    if "\x00" in text:
        raise UnusableResult("unknown_result", "the result is of no kind that is known")
    if text.lstrip()[:9].lower().startswith(("<!doctype", "<html")):
        raise UnusableResult("unexpected_page", "the provider answered with a web page instead of a result")
    try:
        json.loads(text)
    except ValueError:
        return Media("text/plain; charset=utf-8", "txt")
    return Media("application/json", "json")
