"""Pictures, films and speech as bytes. The same input gives the same bytes."""

import base64
import binascii
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.providers.base import ProviderError
from workers.providers.sketch.scene import make_scene, paint

FRAMES_PER_SECOND = 24
FILM_SIZE = (640, 360)
UNKNOWN_VOICE = 3  # exit status of speak.py
OWN_PIXELS_LIMIT = 4_000_000  # of a picture to begin a film with


def picture(values: Mapping[str, Any], number: int) -> bytes:
    """One picture: input {prompt, width, height, seed, format}."""
    frame = paint(
        make_scene(str(values.get("prompt", "")), int(values.get("seed", 0)), number),
        int(values.get("width", 512)),
        int(values.get("height", 512)),
    )
    kind = str(values.get("format", "png"))
    out = io.BytesIO()
    image = Image.fromarray(frame)
    if kind == "jpeg":
        image.save(out, "JPEG", quality=90)
    elif kind == "webp":
        image.save(out, "WEBP", quality=90, method=2)
    else:
        image.save(out, "PNG", compress_level=4)
    return out.getvalue()


def film(values: Mapping[str, Any], go_on: Callable[[], None], progress: Callable[[int], None]) -> bytes:
    """An MP4 (H.264): input {prompt, duration_seconds, seed, cfg, image}. `go_on` raises when it should stop."""
    import av

    width, height = FILM_SIZE
    scene = make_scene(str(values.get("prompt", "")), int(values.get("seed", 0)))
    opening = _opening(values.get("image"))
    seconds = int(values.get("duration_seconds", 5))
    pace = 0.6 + float(values.get("cfg", 7)) / 10  # what the guidance scale means to a landscape
    # A real file: +faststart, which lets players begin at once, opens the output a second time by its name.
    with (
        tempfile.NamedTemporaryFile(suffix=".mp4") as out,
        av.open(out.name, "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container,
    ):
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, FRAMES_PER_SECOND)
        stream.options = {"preset": "veryfast", "crf": "23", "threads": "1"}
        stream.codec_context.thread_count = 1  # several threads would not give the same bytes each time
        frames = seconds * FRAMES_PER_SECOND
        for number in range(frames):
            go_on()
            pixels = paint(scene, width, height, pace * number / FRAMES_PER_SECOND)
            if opening is not None:
                mix = min(1.0, number / (1.5 * FRAMES_PER_SECOND))
                pixels = (opening * (1 - mix) + pixels * mix).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
            progress(100 * number // frames)
        container.mux(stream.encode())
        container.close()
        return Path(out.name).read_bytes()


def _opening(data_uri: Any) -> np.ndarray[Any, Any] | None:
    """The picture that a film begins with, from a data: URI."""
    if not data_uri:
        return None
    try:
        raw = base64.b64decode(str(data_uri).partition(",")[2], validate=True)
        image = Image.open(io.BytesIO(raw), formats=("PNG", "JPEG", "WEBP"))
        if image.width * image.height > OWN_PIXELS_LIMIT:
            raise ValueError(f"it has {image.width * image.height} pixels; the limit is {OWN_PIXELS_LIMIT}")
        return np.asarray(image.convert("RGB").resize(FILM_SIZE), dtype=np.float32)
    except (binascii.Error, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ProviderError("invalid_image", f"input.image cannot be read: {error}", retryable=False) from error


def speech(values: Mapping[str, Any], seconds_left: float = 60.0) -> bytes:
    """A WAV: input {text, voice, speed in words per minute}."""
    voice = str(values.get("voice", "en"))
    wanted = {"text": str(values["text"]), "voice": voice, "speed": int(values.get("speed", 165))}
    try:
        spoken = subprocess.run(  # noqa: S603 - our own file, the text goes in by standard input
            [sys.executable, str(Path(__file__).with_name("speak.py"))],
            input=json.dumps(wanted).encode(), capture_output=True, timeout=seconds_left, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ProviderError("timed_out", "the time for this job is over", retryable=False) from error
    if spoken.returncode == UNKNOWN_VOICE:
        raise ProviderError("unknown_voice", f"there is no voice {voice!r}", retryable=False)
    if spoken.returncode != 0:
        raise ProviderError("speech_failed", f"espeak-ng ended with {spoken.returncode}", retryable=True)
    return spoken.stdout
