"""Files that are little to send and much to read, made on the spot."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.storage.samples import film, sound, wave_file


def jpeg_of_scans(scans: int, side: int = 6000) -> bytes:
    """A progressive JPEG whose last scan, which says "nothing changes" of all its pixels, comes again and again."""
    out = io.BytesIO()
    Image.new("L", (side, side), 90).save(out, "JPEG", progressive=True, quality=50)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def film_of_samples(count: int = 0x0FFFFFFF, frames: int = 1) -> bytes:
    """An MP4 whose table says how many samples there are, all of one byte."""
    data = bytearray(film(frames=frames, size=(16, 16)))
    place = data.index(b"stsz") + 8
    data[place : place + 8] = struct.pack(">II", 1, count)
    place = data.index(b"stts") + 12
    data[place : place + 4] = struct.pack(">I", count)
    place = data.index(b"stsc") + 12 + 4
    data[place : place + 4] = struct.pack(">I", count)
    return bytes(data)


def fragments_of_samples(count: int = 0x0FFFFFFF) -> bytes:
    """An MP4 in fragments, of which one claims so many samples."""
    data = bytearray(film(frames=2, size=(16, 16), options={"movflags": "frag_keyframe+empty_moov"}))
    place = data.index(b"trun") + 4
    data[place : place + 8] = struct.pack(">II", 0, count)
    return bytes(data)


def film_of_boxes(count: int) -> bytes:
    return b"\0\0\0\x10ftypmp42\0\0\0\0" + b"\0\0\0\x08free" * count + film(frames=1, size=(16, 16))


def film_of_inner_boxes(count: int) -> bytes:
    """The boxes are where they are read deeply."""
    inner = b"\0\0\0\x08trak" * count
    return b"\0\0\0\x10ftypmp42\0\0\0\0" + struct.pack(">I4s", 8 + len(inner), b"moov") + inner


def wide_film() -> bytes:
    """One frame, flat, as large as is allowed."""
    return film(frames=1, size=(8192, 6000))


def mp3_of_frames(count: int) -> bytes:
    return (b"\xff\xf3\x14\xc4" + bytes(20)) * count


def aac_of_frames(count: int) -> bytes:
    return b"\xff\xf1\x50\x80\x00\xff\xfc" * count


def wave_of_chunks(count: int) -> bytes:
    return b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * count


def wave_of_trailing_chunks(count: int) -> bytes:
    return wave_file(bytes(8000)) + b"junk\0\0\0\0" * count


def waves_joined(count: int) -> bytes:
    return wave_file(bytes(32)) * count


def packed_wave() -> bytes:
    """Samples packed so tightly that each byte is many."""
    return wave_file(bytes(4_000_000), tag=0x11, bits=4, rate=48_000, channels=2, more=b"\2\0\xf9\7")


def ogg_of_pages(count: int) -> bytes:
    return (b"OggS" + bytes(22) + b"\0") * count


def flac_of_signs(count: int) -> bytes:
    return b"fLaC\0\0\0\x22" * count


def png_of_chunks(count: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + (b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")) * count


def gif_of_blocks(count: int) -> bytes:
    head = b"GIF89a\x10\0\x10\0\x80\0\0" + bytes(6) + b"\x2c\0\0\0\0\x10\0\x10\0\0\x02"
    return head + b"\x01\x00"[:1] + b"\x44" + b"\x01\x44" * count + b"\0;"


def gif_of_frames(count: int) -> bytes:
    head = b"GIF89a\x10\0\x10\0\x80\0\0" + bytes(6)
    return head + b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0" * count + b";"


def jpeg_of_segments(count: int) -> bytes:
    return b"\xff\xd8" + b"\xff\xe0\x00\x02" * count


def flat(kind: str, side: int = 7000) -> bytes:
    """As many pixels as are allowed, in few bytes."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), (9, 9, 9)).save(out, kind, **({"speed": 10} if kind == "AVIF" else {}))
    return out.getvalue()


def webm_of_segments(count: int) -> bytes:
    return b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x80" * count


def webm_of_blocks(count: int) -> bytes:
    whole = film("webm", "libvpx", frames=1, size=(16, 16), options={"live": "1"})
    return whole + b"\xa3\x84\x81\0\0\0" * count


def nested_json(count: int) -> bytes:
    return b"[" * count + b"]" * count


def growing_drawing() -> bytes:
    """Ten entities, each of which is ten of the one before."""
    names = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE svg [<!ENTITY e0 "x">{names}]><svg><text>&e9;</text></svg>'.encode()


def long_mp3() -> bytes:
    return sound("mp3", "libmp3lame", seconds=1) * 900


# Few bytes each, so that a test can make them; `large` are what an upload of 50 MB can hold.
SMALL: dict[str, Callable[[], bytes]] = {
    "jpeg of scans": lambda: jpeg_of_scans(3000), "film of samples": film_of_samples, "fragments of samples": fragments_of_samples,
    "film of boxes": lambda: film_of_boxes(200_000), "film of inner boxes": lambda: film_of_inner_boxes(200_000), "mp3 of frames": lambda: mp3_of_frames(50_000),
    "aac of frames": lambda: aac_of_frames(100_000), "wave of chunks": lambda: wave_of_chunks(200_000), "wave of trailing chunks": lambda: wave_of_trailing_chunks(200_000),
    "waves joined": lambda: waves_joined(3000), "packed wave": packed_wave, "ogg of pages": lambda: ogg_of_pages(50_000), "flac of signs": lambda: flac_of_signs(100_000),
    "png of chunks": lambda: png_of_chunks(85_000), "gif of blocks": lambda: gif_of_blocks(500_000), "gif of frames": lambda: gif_of_frames(60_000),
    "jpeg of segments": lambda: jpeg_of_segments(250_000), "flat png": lambda: flat("PNG"), "flat jpeg": lambda: flat("JPEG"), "flat gif": lambda: flat("GIF"),
    "flat webp": lambda: flat("WEBP"), "webm of segments": lambda: webm_of_segments(100_000),
    "webm of blocks": lambda: webm_of_blocks(100_000), "nested json": lambda: nested_json(100_000), "growing drawing": growing_drawing,
}  # fmt: skip
LARGE: dict[str, Callable[[], bytes]] = {
    "jpeg of scans": lambda: jpeg_of_scans(5000, 7000), "film of samples": film_of_samples, "film of boxes": lambda: film_of_boxes(6_000_000),
    "mp3 of frames": lambda: mp3_of_frames(2_000_000), "aac of frames": lambda: aac_of_frames(7_000_000), "wave of chunks": lambda: wave_of_chunks(6_000_000),
    "gif of blocks": lambda: gif_of_blocks(25_000_000), "png of chunks": lambda: png_of_chunks(4_000_000), "ogg of pages": lambda: ogg_of_pages(1_800_000),
    "long mp3": long_mp3, "nested json": lambda: nested_json(7_000_000), "webm of blocks": lambda: webm_of_blocks(8_000_000),
}  # fmt: skip
