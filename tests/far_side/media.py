"""Small real results, which differ with what was asked."""

import hashlib
import io
import random
import struct
import wave
import zlib
from functools import cache, lru_cache


@cache
def png(text: str, side: int = 32) -> bytes:
    from PIL import Image

    digest = hashlib.sha256(text.encode()).digest()
    out = io.BytesIO()
    picture = Image.new("RGB", (side, side), tuple(digest[:3]))
    picture.paste(tuple(digest[3:6]), (side // 4, side // 4, side // 2, side // 2))
    picture.save(out, "PNG")
    return out.getvalue()


@lru_cache(maxsize=64)
def noise(text: str, side: int = 640) -> bytes:
    """A picture of over a mebibyte, which workers do not keep in memory."""
    from PIL import Image

    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(text).randbytes(3 * side * side)).save(
        out, "PNG", compress_level=0
    )
    return out.getvalue()


def drawn(text: str, share: float) -> bool:
    """Whether this name is among such a share of all names, the same in every run and process."""
    return zlib.crc32(text.encode()) < share * 2**32


@cache
def wav(text: str) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        step = 5 + len(text) % 20
        sound.writeframes(b"".join(struct.pack("<h", (at % step) * 500) for at in range(4000)))
    return out.getvalue()


def cut(data: bytes, truncated: bool) -> bytes:
    return data[: len(data) * 2 // 3] if truncated else data
