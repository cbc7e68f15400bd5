"""What a result is, read from its bytes; what the provider claims is not believed.

A file is never read whole where its decoder can do without: a film of 200 MB costs the memory of its frames. Decoders
are told which format to expect, so that a file cannot choose another one by its content (a playlist, say, that names
other files). Where a header's promise and the samples differ, the samples are right.
"""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from PIL import Image

from storage.media import films, pcm, pictures, sounds, texts, waves
from storage.media.base import Media, UnusableResult, broken, too_large, unknown
from storage.media.signs import HEAD_BYTES, after_tags, describe, sniff
from storage.media.texts import SVG

__all__ = [
    "SVG",
    "Media",
    "UnusableResult",
    "describe",
    "is_picture",
    "kind_of",
    "kinds_of",
    "measure",
    "measure_picture",
]

# Ours, not the file's: the machine has no handle left, or the temporary file is gone. The decoders' own EIO and ENOMEM
# are what they make of broken bytes.
_OUR_FAULTS = {errno.EMFILE, errno.ENFILE, errno.ENOENT, errno.EACCES, errno.EPERM, errno.ESTALE}


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a picture, for `measure_picture`."""
    return sniff(head) in pictures.KINDS


def measure_picture(data: bytes) -> Media:
    """Type and size of a small picture in memory. Raises UnusableResult where it is broken."""
    kind = sniff(data[:HEAD_BYTES])
    if kind not in pictures.KINDS:
        raise unknown(describe(data[:HEAD_BYTES]))
    with _reading(kind):
        return pictures.measure(io.BytesIO(data), kind)


def measure(path: Path, *, claimed: str | None = None, ordered: str | None = None) -> Media:
    """Type, size and duration of a file on disk.

    `claimed` is believed in two things that no byte can tell: the rate of raw samples (audio/L16;rate=24000), and that a
    page was written as a text, where `ordered`, the model's kind, is text. Raises UnusableResult where the file is
    broken, or nothing that is known, and OSError where it cannot be read from this machine's disk.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if not head:
            raise UnusableResult("empty_result", "the result is empty", cut_off=True)
        raw = pcm.claim(claimed)
        kind = sniff(head, strong_only=raw is not None)
        if kind == "ID3":
            kind = after_tags(file)
    with _reading(kind or "text"):
        match kind:
            case None:
                return texts.measure(path, written=ordered == "text" and (claimed or "").startswith("text/"), raw=raw)
            case "HEIC":
                raise UnusableResult(
                    "unread_kind",
                    "it is a HEIC picture, which nothing here reads: JPEG, PNG, WebP, AVIF and GIF are read",
                )
            case "WAV":
                return waves.measure(path)
            case "MP4" | "MOV" | "WEBM":
                return films.measure(path, kind, head)
            case "OGG" | "FLAC" | "MP3" | "AAC":
                return sounds.measure(path, kind)
    with _reading(kind), path.open("rb") as file:
        return pictures.measure(file, kind)


def kind_of(media_type: str) -> str | None:
    """The kind of model whose result this type is: image, video, speech (every sound) or text (JSON too). A page is none."""
    essence = media_type.partition(";")[0].strip().lower()
    if essence in {"text/html", "application/xhtml+xml"}:
        return None
    if essence == "application/json":
        return "text"
    return {"image": "image", "video": "video", "audio": "speech", "text": "text"}.get(essence.partition("/")[0])


def kinds_of(media: Media) -> frozenset[str]:
    """Every kind of model that may have been asked for this: a moving picture will do for a film, a drawing in XML for a text."""
    kinds = {kind_of(media.media_type)}
    if media.moving:
        kinds.add("video")
    if media.media_type == SVG:
        kinds.add("text")
    return frozenset(kind for kind in kinds if kind)


@contextmanager
def _reading(kind: str) -> Iterator[None]:
    """Whatever a decoder raises says that the file is broken, or too large."""
    try:
        yield
    except UnusableResult:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise too_large(str(error) or "it takes more memory than there is") from error
    except Exception as error:  # decoders raise what they like for broken bytes
        if _ours(error):
            raise
        raise broken(f"the result cannot be read as {kind}: {type(error).__name__}") from error


def _ours(error: Exception) -> bool:
    if not isinstance(error, OSError):
        return False
    return error.errno in _OUR_FAULTS or (error.errno == errno.EIO and not isinstance(error, av.error.FFmpegError))
