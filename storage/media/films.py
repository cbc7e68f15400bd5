"""Films, and sounds that lie in the box of a film."""

import io
import math
import mmap
import struct
from collections import Counter
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
from storage.media.boxes import check_samples, outer_boxes
from storage.media.pictures import SIDEWAYS, THUMBNAIL_PIXELS, thumbnail
from storage.media.pieces import Pieces
from storage.media.sounds import MAX_PARTS, OPTIONS, counted_seconds, too_many_parts
from storage.media.source import MediaSource

PACKETS_TO_A_FRAME = 300  # how many of a film's packets may be broken before the first frame that can be shown
FRAMES_KEPT = 6  # a decoder keeps several frames, where a picture is one
WIDEST = 8  # how many times as wide as high a pixel may be
_EBML, _SEGMENT, _SIGN, _DOCTYPE = 0x1A45DFA3, 0x18538067, b"\x1a\x45\xdf\xa3", b"\x42\x82"
COVERS = Disposition.attached_pic | Disposition.timed_thumbnails

# How to turn a frame by its display matrix (a, b, c, d): by which axis shows which, and the signs.
_TURNS = {
    (False, 1, 1): 1, (False, -1, 1): 2, (False, -1, -1): 3, (False, 1, -1): 4,
    (True, 1, 1): 5, (True, 1, -1): 6, (True, -1, -1): 7, (True, -1, 1): 8,
}  # fmt: skip


class _Part(NamedTuple):
    """What one of the films that were joined is. `shown`: None of a sound, or where it was not asked for."""

    seconds: float
    is_film: bool
    shown: "_Shown | None"


def measure(source: MediaSource, kind: str, head: bytes, pixels: int = MAX_PIXELS) -> Media:
    """Raises UnusableResult; whatever else a decoder raises is the caller's to name."""
    first, seconds = None, 0.0
    with source.open() as file:
        row = None if kind == "WEBM" else outer_boxes(file)
        if row is not None and b"moov" not in row.names:
            raise broken("the film ends before it says what is in it", cut_off=True)
        if row is not None:
            check_samples(file)
        # Films in WebM can be joined; of those in boxes nobody shows more than the first.
        for begin, end in _segments(file) if row is None else [(0, file.seek(0, io.SEEK_END))]:
            pieces = cast(BinaryIO, Pieces(file, [(begin, end)]))
            with av.open(pieces, "r", format="matroska" if row is None else "mov", options=OPTIONS) as container:
                part = _part(container, first is None, row is not None and row.open, pixels)
            first = first or part
            seconds += part.seconds
    if first is None or not first.is_film:
        return Media(*_sound_type(kind, head), duration_ms=milliseconds(seconds))
    width, height, drawn = first.shown or (None, None, None)
    return Media(*_film_type(kind, head), width, height, milliseconds(seconds) or None, drawn)


def _film_type(kind: str, head: bytes) -> tuple[str, str]:
    if kind == "WEBM":
        return ("video/webm", "webm") if b"webm" in head[:64] else ("video/x-matroska", "mkv")
    return ("video/quicktime", "mov") if kind == "MOV" or head[8:12] == b"qt  " else ("video/mp4", "mp4")


def _sound_type(kind: str, head: bytes) -> tuple[str, str]:
    if kind == "WEBM":
        return ("audio/webm", "weba") if b"webm" in head[:64] else ("audio/x-matroska", "mka")
    return "audio/mp4", "m4a"


def _part(container: InputContainer, wanted: bool, last_box_open: bool, pixels: int) -> _Part:
    """One way through the file: the first frame is decoded, and of every packet it is seen when it begins and ends."""
    picture = next((each for each in container.streams.video if not each.disposition & COVERS), None)
    if picture is None:
        if not container.streams.audio:
            raise broken("the film has neither picture nor sound")
        return _Part(counted_seconds(container), is_film=False, shown=None)
    check_pixels(picture.codec_context.width, picture.codec_context.height, pixels // FRAMES_KEPT)
    picture.codec_context.thread_count = 1  # each would keep frames of its own
    picture.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    shown, left, counts, begin, end = None, PACKETS_TO_A_FRAME if wanted else 0, Counter[int](), math.inf, 0.0
    streams = [picture, *container.streams.audio]
    for packet in container.demux(streams):
        if shown is None and left and packet.stream_index == picture.index:
            left -= 1
            shown = _shown(packet, picture)
        if packet.pts is None or packet.time_base is None:
            continue
        counts[packet.stream_index] += 1
        if not packet.is_discard:
            at = float(packet.pts * packet.time_base)
            begin, end = min(begin, max(0.0, at)), max(end, at + float((packet.duration or 0) * packet.time_base))
    if last_box_open and any(counts[each.index] < each.frames for each in streams):
        raise broken("the film ends before all its frames are there", cut_off=True)
    if wanted and shown is None:
        raise broken("the film has no frame that can be shown", cut_off=not counts[picture.index])
    return _Part(max(0.0, end - begin), is_film=True, shown=shown)


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


def _segments(file: BinaryIO) -> list[tuple[int, int]]:
    """A WebM is a header and a segment, each with its length, which the segment of a live recording leaves open. Behind it
    another may follow.
    """
    size, parts, begin = file.seek(0, io.SEEK_END), list[tuple[int, int]](), 0
    while len(parts) < MAX_PARTS:
        file.seek(begin)
        for element in (_EBML, _SEGMENT):
            if _vint(file, keep_marker=True) != element:
                raise broken("it does not begin like a WebM")
            length = _vint(file, keep_marker=False)
            if length is None:
                end = _next_header(file, file.tell()) or size
                break
            end = file.tell() + length
            if end > size:
                raise broken("the film ends before its header says", cut_off=True)
            file.seek(end)
        parts.append((begin, end))
        file.seek(end)
        if file.read(4) != _SIGN:
            return parts
        begin = end
    raise too_many_parts()


def _next_header(file: BinaryIO, place: int) -> int | None:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while (place := data.find(_SIGN, place)) >= 0:
            if _DOCTYPE in data[place : place + 64]:
                return place
            place += 4
    return None


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
