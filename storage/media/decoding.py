"""What a file is, read by whatever decoder its first bytes name. In a child of the sandbox; small ones where they are.

A file is never read whole where its decoder can do without: a film of 200 MB costs the memory of its frames. Decoders
are told which format to expect, so that a file cannot choose another one by its content (a playlist, say, that names
other files). Where a header's promise and the samples differ, the samples are right.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from storage.media import films, pcm, pictures, sounds, texts, waves
from storage.media.base import MAX_PIXELS, Larger, Media, UnusableResult, broken, too_large
from storage.media.signs import HEAD_BYTES, after_tags, sniff
from storage.media.source import DiskFailed, MediaSource

OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})  # no fault of the file's


def measure(
    source: MediaSource, *, claimed: str | None = None, ordered: str | None = None, pixels: int = MAX_PIXELS
) -> Media:
    """Type, size and duration of a file on disk.

    `claimed` and `ordered` as in `storage.media.measure`. Raises UnusableResult where the file is broken, or nothing that
    is known, Larger where it has more than so many pixels, and OSError where it cannot be read from this machine's disk.
    """
    with source.open() as file:
        head = file.read(HEAD_BYTES)
        if not head:
            raise UnusableResult("empty_result", "the result is empty", cut_off=True)
        raw = pcm.claim(claimed)
        kind = sniff(head, strong_only=raw is not None)
        if kind == "ID3":
            kind = after_tags(file)
    with reading(kind or "text"):
        match kind:
            case None:
                return texts.measure(source, written=ordered == "text" and (claimed or "").startswith("text/"), raw=raw)
            case "HEIC":
                raise UnusableResult(
                    "unread_kind",
                    "it is a HEIC picture, which nothing here reads: JPEG, PNG, WebP, AVIF and GIF are read",
                )
            case "WAV":
                return waves.measure(source)
            case "MP4" | "MOV" | "WEBM":
                return films.measure(source, kind, head, pixels)
            case "OGG" | "FLAC" | "MP3" | "AAC":
                return sounds.measure(source, kind)
    with reading(kind), source.open() as file:
        return pictures.measure(file, kind, pictures.Bounds(pixels))


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Whatever a decoder raises says that the file is broken, or too large."""
    try:
        yield
    except (UnusableResult, Larger):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(str(error)) from error
    except MemoryError as error:
        raise too_large("it takes more memory to read than a file may") from error
    except Exception as error:  # decoders raise what they like for broken bytes
        if isinstance(error, DiskFailed):
            raise
        if isinstance(error, OSError) and error.errno in OURS:
            raise DiskFailed(error.errno, "the file cannot be read for want of means") from error
        raise broken(f"the result cannot be read as {kind}: {type(error).__name__}") from error
