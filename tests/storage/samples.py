"""Sounds, films and pictures of every kind, made small and on the spot."""

import io
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image


def noise(rate: int, seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Noise, so that an encoder cannot make it too small to be cut."""
    return np.random.default_rng(1).integers(-9000, 9000, (1, round(rate * seconds)), dtype=np.int16)


def sound(
    form: str, codec: str, rate: int = 48_000, seconds: float = 6, *, options: dict[str, str] | None = None,
    layout: str = "mono", cover: bool = False,
) -> bytes:  # fmt: skip
    """A sound; `options` are the container's. `cover`: with a picture, as music is sold."""
    out = io.BytesIO()
    with av.open(out, "w", format=form, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if cover:
            picture = container.add_stream("mjpeg")
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(noise(rate, seconds), format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        fifo = av.AudioResampler(
            format=stream.codec_context.format, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size
        )
        for each in [*fifo.resample(frame), *fifo.resample(None)]:
            container.mux(stream.encode(each))
        container.mux(stream.encode())
        if cover:
            still = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(picture.encode(still))
            container.mux(picture.encode())
    return out.getvalue()


def mp3_without_count(rate: int = 48_000, seconds: float = 6) -> bytes:
    """As servers write it that stream while they speak: frames and nothing else, of changing sizes."""
    return sound("mp3", "libmp3lame", rate, seconds, options={"write_xing": "0", "id3v2_version": "0"})


def wave_file(
    data: bytes, *, length: int | None = None, tag: int = 3, bits: int = 32, before: bytes = b"", rate: int = 8000,
    channels: int = 1, byte_rate: int | None = None, more: bytes = b"",
) -> bytes:  # fmt: skip
    """A WAV that says of itself whatever is wanted."""
    speed = rate * channels * bits // 8 if byte_rate is None else byte_rate
    form = struct.pack("<HHIIHH", tag, channels, rate, speed, channels * bits // 8 & 0xFFFF, bits) + more
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + before
    chunks += b"data" + struct.pack("<I", len(data) if length is None else length) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def film(
    form: str = "mp4", codec: str = "libx264", frames: int = 20, size: tuple[int, int] = (320, 160), *,
    turned: tuple[int, bool, bool] | None = None, options: dict[str, str] | None = None, aspect: int | None = None,
    with_sound: bool = False, rate: int = 10,
) -> bytes:  # fmt: skip
    """Ten frames a second: red on the left, blue on the right, and white in the upper left corner."""
    width, height = size
    scene = corners(width, height)
    # A real file: what is written with its index in front is read again.
    with tempfile.NamedTemporaryFile() as out, av.open(out.name, "w", format=form, options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx" else {"preset": "ultrafast"}
        if turned:
            stream.set_display_rotation(turned[0], hflip=turned[1], vflip=turned[2])
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if with_sound:
            voice = container.add_stream("aac", rate=48_000, layout="mono")
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(scene, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if with_sound:
            heard = av.AudioFrame.from_ndarray(noise(48_000, frames / rate), format="s16", layout="mono")
            heard.sample_rate, heard.pts = 48_000, 0
            fifo = av.AudioResampler(format="fltp", layout="mono", rate=48_000, frame_size=1024)
            for each in [*fifo.resample(heard), *fifo.resample(None)]:
                container.mux(voice.encode(each))
            container.mux(voice.encode())
        container.close()
        return Path(out.name).read_bytes()


def corners(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A scene by which it can be seen how it was turned."""
    scene = np.zeros((height, width, 3), np.uint8)
    scene[:, : width // 2, 0] = 220
    scene[:, width // 2 :, 2] = 220
    scene[: height // 3, : width // 3] = 240
    return scene


def colours_at_corners(image: Image.Image) -> list[str]:
    """white, red, blue: what lies at upper left, upper right, lower left and lower right."""
    rgb, (width, height) = image.convert("RGB"), image.size
    found = []
    for x, y in ((8, 8), (width - 9, 8), (8, height - 9), (width - 9, height - 9)):
        red, _, blue = rgb.getpixel((x, y))
        found.append("white" if red > 150 and blue > 150 else "red" if red > blue else "blue")
    return found


# What lies at those corners after each of the eight turns of EXIF.
TURNED: dict[int, list[str]] = {
    1: ["white", "blue", "red", "blue"], 2: ["blue", "white", "blue", "red"],
    3: ["blue", "red", "blue", "white"], 4: ["red", "blue", "white", "blue"],
    5: ["white", "red", "blue", "blue"], 6: ["red", "white", "blue", "blue"],
    7: ["blue", "blue", "red", "white"], 8: ["blue", "blue", "white", "red"],
}  # fmt: skip


def picture(kind: str = "PNG", size: tuple[int, int] = (300, 200), mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(out, kind, **options)
    return out.getvalue()


def turned_picture(kind: str, orientation: int, size: tuple[int, int] = (400, 300)) -> bytes:
    """A picture as cameras write it: as the sensor lies, and how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(corners(*size)).save(out, kind, exif=exif)
    return out.getvalue()


def moving_picture(kind: str, size: tuple[int, int] = (300, 200), frames: int = 3, **options: Any) -> bytes:
    out = io.BytesIO()
    first, *others = [Image.effect_noise(size, 40 + 9 * number).convert("RGB") for number in range(frames)]
    first.save(out, kind, save_all=True, append_images=others, duration=100, **options)
    return out.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_with(*chunks: bytes, png: bytes | None = None, last: bool = False) -> bytes:
    """A PNG with these chunks besides, before its pixels or behind them."""
    data = png or picture()
    at = len(data) - 12 if last else 33
    return data[:at] + b"".join(chunks) + data[at:]


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def older(mov: bytes) -> bytes:
    """A QuickTime file as it was before `ftyp`: its index or its frames come first."""
    length = int.from_bytes(mov[:4], "big")
    data, at = bytearray(mov[length:]), -1
    while (at := data.find(b"stco", at + 1)) >= 0:  # where the frames lie, counted from the beginning
        for number in range(int.from_bytes(data[at + 8 : at + 12], "big")):
            place = at + 12 + 4 * number
            data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") - length).to_bytes(4, "big")
    return bytes(data)


def flipped(data: bytes, seed: int, flips: int = 8) -> bytes:
    """With some bits wrong."""
    wrong, random = bytearray(data), np.random.default_rng(seed)
    for at in random.integers(0, len(data), flips):
        wrong[at] ^= 1 << int(random.integers(0, 8))
    return bytes(wrong)
