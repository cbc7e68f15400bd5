"""What is said about a file, and the limits that every kind of file keeps."""

from dataclasses import dataclass

SVG = "image/svg+xml"
MAX_PIXELS = 50_000_000
MAX_SECONDS = 24 * 3600.0  # of sound or film: what claims more is an error, and would not fit the column much later
LEAST_STEPS, STEP_BYTES = 10_000, 64  # chunks, segments, boxes, frames: so many, and one more for each so many bytes
RATES = range(2_000, 768_001)  # samples a second: from below a telephone's to above a studio's


class Larger(Exception):
    """More work than was allowed here, and perhaps a good file: somebody else may read it."""


class UnusableResult(Exception):
    """The bytes are no result that can be kept.

    Codes: empty_result, broken_result, unknown_result, unread_kind (known, and nothing here reads it), result_too_large,
    unexpected_page. `message` says what the bytes were. `cut_off`: they end too early, or are none, so fetching them again may help. Otherwise the same bytes would come
    again: neither fetching nor generating them once more with the same request changes what they are.
    """

    def __init__(self, code: str, message: str, *, cut_off: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cut_off = cut_off


@dataclass(frozen=True, slots=True)
class Media:
    """What a file is. Sizes as people see them (turned as it says it is to be shown), durations in milliseconds; the
    thumbnail is a WebP of at most 256 pixels, and there is none of a picture that is no larger, of a sound or a drawing.
    `moving`: a picture of several frames.
    """

    media_type: str
    extension: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    thumbnail: bytes | None = None
    moving: bool = False


def broken(message: str, *, cut_off: bool = False) -> UnusableResult:
    return UnusableResult("broken_result", message, cut_off=cut_off)


def too_large(message: str) -> UnusableResult:
    return UnusableResult("result_too_large", message)


def unknown(description: str) -> UnusableResult:
    return UnusableResult("unknown_result", f"the result is of no kind that is known: {description}")


def check_pixels(width: int, height: int, here: int = MAX_PIXELS) -> None:
    """`here`: how many may be unpacked by whoever asks. Raises UnusableResult, or Larger."""
    if width < 1 or height < 1:
        raise broken(f"{width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise too_large(f"{width} x {height} pixels; the limit is {MAX_PIXELS}")
    if width * height > here:
        raise Larger


def check_seconds(seconds: float) -> None:
    if seconds > MAX_SECONDS:
        raise too_large(f"it lasts {seconds:.0f} seconds; the limit is {MAX_SECONDS:.0f}")


def milliseconds(seconds: float) -> int:
    """A duration that fits its column. Raises UnusableResult."""
    check_seconds(seconds)
    return round(seconds * 1000)


def check_rate(rate: int) -> None:
    if rate not in RATES:
        raise broken(f"the sound claims {rate} samples a second")


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
