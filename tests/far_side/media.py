"""Small real results, which differ with what was asked."""

import hashlib
import io
import struct
import wave
from functools import cache


@cache
def png(text: str, side: int = 32) -> bytes:
    from PIL import Image

    digest = hashlib.sha256(text.encode()).digest()
    out = io.BytesIO()
    picture = Image.new("RGB", (side, side), tuple(digest[:3]))
    picture.paste(tuple(digest[3:6]), (side // 4, side // 4, side // 2, side // 2))
    picture.save(out, "PNG")
    return out.getvalue()


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
