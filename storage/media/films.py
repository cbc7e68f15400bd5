"""Films, and sounds that lie in the box of a film."""

import io
import math
import struct
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from storage.media.base import MAX_PIXELS, Media, broken, check_pixels, milliseconds
from storage.media.boxes import Row, outer_boxes
from storage.media.pictures import SIDEWAYS, THUMBNAIL_PIXELS, thumbnail
from storage.media.sounds import OPTIONS, counted_seconds

PACKETS_TO_A_FRAME = 300  # how many of a film's packets may be broken before the first frame that can be shown
NEW_PART_SECONDS = 1.0  # a clock that goes back by more says that another film was joined
WIDEST = 8  # how many times as wide as high a pixel may be
COVERS = Disposition.attached_pic | Disposition.timed_thumbnails

# How to turn a frame by its display matrix (a, b, c, d): by which axis shows which, and the signs.
_TURNS = {
    (False, 1, 1): 1, (False, -1, 1): 2, (False, -1, -1): 3, (False, 1, -1): 4,
    (True, 1, 1): 5, (True, 1, -1): 6, (True, -1, -1): 7, (True, -1, 1): 8,
}  # fmt: skip


def measure(path: Path, kind: str, head: bytes) -> Media:
    """Raises UnusableResult; whatever else a decoder raises is the caller's to name."""
    row = None
    with path.open("rb") as file:
        if kind == "WEBM":
            _check_segment(file)
        else:
            row = outer_boxes(file)
            if b"moov" not in row.names:
                raise broken("the film ends before it says what is in it", cut_off=True)
    with av.open(str(path), format="matroska" if kind == "WEBM" else "mov", options=OPTIONS) as container:
        picture = next((each for each in container.streams.video if not each.disposition & COVERS), None)
        if picture is None:
            return _sound(container, kind, head)
        return _film(container, picture, _film_type(kind, head), row)


def _film_type(kind: str, head: bytes) -> tuple[str, str]:
    if kind == "WEBM":
        return ("video/webm", "webm") if b"webm" in head[:64] else ("video/x-matroska", "mkv")
    return ("video/quicktime", "mov") if kind == "MOV" or head[8:12] == b"qt  " else ("video/mp4", "mp4")


def _sound(container: InputContainer, kind: str, head: bytes) -> Media:
    if not container.streams.audio:
        raise broken("the film has neither picture nor sound")
    if kind == "WEBM":
        media_type, extension = ("audio/webm", "weba") if b"webm" in head[:64] else ("audio/x-matroska", "mka")
    else:
        media_type, extension = "audio/mp4", "m4a"
    return Media(media_type, extension, duration_ms=milliseconds(counted_seconds(container)))


def _film(container: InputContainer, picture: VideoStream, kind: tuple[str, str], row: Row | None) -> Media:
    """One way through the file: the first frame is decoded, and of every packet it is seen when it begins and ends."""
    check_pixels(picture.codec_context.width, picture.codec_context.height)
    picture.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    clock, left, shown, counts = _Clock(), PACKETS_TO_A_FRAME, None, Counter[int]()
    streams = [picture, *container.streams.audio]
    for packet in container.demux(streams):
        if shown is None and left and packet.stream_index == picture.index:
            left -= 1
            shown = _shown(packet, picture)
        if packet.pts is not None and packet.time_base is not None:
            counts[packet.stream_index] += 1
            if not packet.is_discard:
                clock.see(packet)
    if row is not None and row.open and any(counts[each.index] < each.frames for each in streams):
        raise broken("the film ends before all its frames are there", cut_off=True)
    if shown is None:
        raise broken("the film has no frame that can be shown", cut_off=not counts[picture.index])
    return Media(*kind, shown.width, shown.height, milliseconds(clock.seconds) or None, shown.thumbnail)


class _Shown(NamedTuple):
    """A frame as people see it."""

    width: int
    height: int
    thumbnail: bytes


def _shown(packet: "Packet[Any]", picture: VideoStream) -> _Shown | None:
    """The first frame that lies in a packet, stretched and turned as the film says it is to be."""
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        return None
    for frame in frames:
        turn, wide = _turn(frame), picture.sample_aspect_ratio or 1
        width = round(frame.width * wide) if WIDEST**-1 <= wide <= WIDEST else frame.width
        check_pixels(width, frame.height)
        scale = min(1.0, THUMBNAIL_PIXELS / max(width, frame.height))
        small = frame.reformat(max(1, round(width * scale)), max(1, round(frame.height * scale)), format="rgb24")
        drawn = thumbnail(Image.fromarray(small.to_ndarray()), turn)
        return _Shown(*((frame.height, width) if turn in SIDEWAYS else (width, frame.height)), drawn)
    return None


def _turn(frame: VideoFrame) -> int:
    """The display matrix as an EXIF orientation: the nearest one, as players show no others."""
    try:
        matrix = bytes(cast(Any, frame.side_data)[Type.DISPLAYMATRIX])  # its type information knows motion vectors only
    except KeyError:
        return 1
    if len(matrix) < 36:
        return 1
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    sideways = abs(b) > abs(a)
    one, other = (b, c) if sideways else (a, d)
    return _TURNS[sideways, -1 if one < 0 else 1, -1 if other < 0 else 1]


class _Clock:
    """How long packets last together. A clock that goes back begins another part: films in WebM can be joined."""

    def __init__(self) -> None:
        self._before, self._begin, self._end = 0.0, math.inf, 0.0
        self._last: dict[int, float] = {}

    def see(self, packet: "Packet[Any]") -> None:
        base = packet.time_base or 0
        begin = float((packet.pts or 0) * base)
        decoded = float(packet.dts * base) if packet.dts is not None else begin
        if decoded < self._last.get(packet.stream_index, -math.inf) - NEW_PART_SECONDS:
            self._before, self._begin, self._end = self.seconds, math.inf, 0.0
            self._last.clear()
        self._last[packet.stream_index] = decoded
        self._begin = min(self._begin, max(0.0, begin))
        self._end = max(self._end, begin + float((packet.duration or 0) * base))

    @property
    def seconds(self) -> float:
        return self._before + max(0.0, self._end - self._begin)


def _check_segment(file: BinaryIO) -> None:
    """A WebM is a header and a segment, each with its length, which the segment of a live recording leaves open."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    for element in (0x1A45DFA3, 0x18538067):
        if _vint(file, keep_marker=True) != element:
            raise broken("it does not begin like a WebM")
        length = _vint(file, keep_marker=False)
        if length is None:
            return
        end = file.tell() + length
        if end > size:
            raise broken("the film ends before its header says", cut_off=True)
        file.seek(end)


def _vint(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """An EBML number; None: it says "unknown" (all ones)."""
    first = file.read(1)
    if not first:
        raise broken("the film ends in its header", cut_off=True)
    if not first[0]:
        raise broken("the film's header is no header")
    more = 8 - first[0].bit_length()
    value = int.from_bytes(first + file.read(more), "big")
    if keep_marker:
        return value
    bits = 7 * (more + 1)
    value &= (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value
