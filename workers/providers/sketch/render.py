"""Pictures, films and speech as bytes. The same input gives the same bytes."""

import base64
import binascii
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.picture_shapes import pixels_of
from common.scratch import scratch_file
from workers.providers.base import ProviderError
from workers.providers.sketch.art import make_picture

FRAMES_PER_SECOND = 24
FILM_SIZE = (640, 360)
OPENING_SECONDS = 1.5  # how long a picture given for the beginning takes to become the film
UNKNOWN_VOICE = 3  # exit status of speak.py
OWN_PIXELS_LIMIT = 4_200_000  # of a picture to begin a film with
PAINTED_PIXELS_LIMIT = 4_200_000  # larger pictures are painted at half their size, so that none takes a gigabyte
USUAL_PIXELS = 768 * 768  # of a picture of which only the shape is said
LOOK_SECONDS = 0.1  # how often it is asked whether the speech is still wanted


def picture(values: Mapping[str, Any], number: int) -> bytes:
    """One picture: input {prompt, width, height, seed, format: png | jpeg | webp}; `number` tells those of one request apart. Without
    width and height, a size, an image_size or an aspect_ratio, as other houses say it.

    Raises ProviderError `invalid_input`.
    """
    asked = dict(zip(("width", "height"), pixels_of(values, USUAL_PIXELS) or (), strict=False))
    width, height = (int(_number({**values, **asked}, side, 512, 16, 4096)) for side in ("width", "height"))
    shrink = 2 if width * height > PAINTED_PIXELS_LIMIT else 1
    painted = make_picture(_prompt(values), _seed(values), number, -(-width // shrink), -(-height // shrink))
    image = Image.fromarray(painted.at())
    if shrink > 1:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    match str(values.get("format") or "png"):
        case "png":
            # Three quarters of the time at 1024 x 1024 would go into the best compression, for a tenth of the bytes.
            image.save(out, "PNG", compress_level=3)
        case "jpeg" | "jpg":
            image.save(out, "JPEG", quality=90)
        case "webp":
            image.save(out, "WEBP", quality=88, method=2)
        case other:
            raise ProviderError("invalid_input", f"input.format {other!r} is none of png, jpeg, webp", retryable=False)
    return out.getvalue()


def film(
    values: Mapping[str, Any], go_on: Callable[[], None], progress: Callable[[int], None] = lambda _percent: None
) -> bytes:
    """An MP4 (H.264, 640 x 360, 24 per second): input {prompt, duration_seconds, seed, cfg, image}.

    `image` is a picture to begin with: bytes, base64 or a data: URI. `go_on` is called before each frame and raises
    when the film should not be made; `progress` takes percent. Raises ProviderError `invalid_input`, `invalid_image`.
    """
    import av  # noqa: PLC0415 - FFmpeg is loaded only where a film is made

    width, height = FILM_SIZE
    opening = _opening(values.get("image"))
    seconds = int(_number(_in_seconds(values), "duration_seconds", 5, 1, 15))
    pace = 0.6 + _number(values, "cfg", 7, 0, 100) / 10  # what the guidance scale means to a landscape
    margin = 0.015 * seconds * pace  # nothing moves faster than that
    go_on()
    painted = make_picture(_prompt(values), _seed(values), 0, width, height, margin=margin)
    # A real file: +faststart, which lets players begin at once, opens the output a second time by its name.
    with (
        scratch_file(".mp4") as out,
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
            pixels = painted.at(pace * number / FRAMES_PER_SECOND)
            mix = number / (OPENING_SECONDS * FRAMES_PER_SECOND)
            if opening is not None and mix < 1:
                pixels = (opening * (1 - mix) + pixels * mix).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
            progress(100 * number // frames)
        container.mux(stream.encode())
        container.close()
        return Path(out.name).read_bytes()


def speech(values: Mapping[str, Any], go_on: Callable[[], None] = lambda: None) -> bytes:
    """A WAV (16-bit mono): input {text, voice, speed in words per minute}. `go_on` raises when it is to stop.

    Raises ProviderError `unknown_voice`, `invalid_input`, `speech_failed`.
    """
    voice = str(values.get("voice") or "en")
    wanted = {
        "text": str(values.get("text") or ""),
        "voice": voice,
        "speed": int(_number(values, "speed", 165, 80, 450)),
    }
    if not wanted["text"]:
        raise ProviderError("invalid_input", "input.text is empty", retryable=False)
    # -I: neither the folder of speak.py nor PYTHONPATH may stand before the standard library.
    command = [sys.executable, "-I", str(Path(__file__).with_name("speak.py"))]
    with subprocess.Popen(  # noqa: S603 - our own file, the text goes in by standard input
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as speaking:
        text: bytes | None = json.dumps(wanted).encode()
        while True:
            try:
                go_on()
                spoken, _ = speaking.communicate(text, timeout=LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                text = None  # it was handed over; communicate() goes on where it stopped
            except BaseException:
                speaking.kill()
                raise
    if speaking.returncode == UNKNOWN_VOICE:
        raise ProviderError("unknown_voice", f"there is no voice {voice!r}", retryable=False)
    if speaking.returncode != 0:
        raise ProviderError("speech_failed", f"espeak-ng ended with {speaking.returncode}", retryable=True)
    return spoken


def _in_seconds(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A duration that is written as a text, such as `8s`, as a number."""
    said = re.fullmatch(r"([0-9]{1,3})s?", str(values.get("duration_seconds")), re.ASCII)
    return {**values, "duration_seconds": int(said[1])} if said else values


def _opening(given: Any) -> NDArray[np.float32] | None:
    """The picture that a film begins with: bytes, base64, or a data: URI."""
    if not given:
        return None
    try:
        raw = given if isinstance(given, bytes) else base64.b64decode(str(given).rpartition(",")[2], validate=True)
        with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > OWN_PIXELS_LIMIT:
                many = f"it has {image.width * image.height} pixels; the limit is {OWN_PIXELS_LIMIT}"
                raise ValueError(many)  # noqa: TRY301 - said below, like whatever else is no picture
            return np.asarray(image.convert("RGB").resize(FILM_SIZE), dtype=np.float32)
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ProviderError("invalid_image", f"input.image cannot be read: {error}", retryable=False) from error


def _prompt(values: Mapping[str, Any]) -> str:
    return str(values.get("prompt") or "")


def _seed(values: Mapping[str, Any]) -> int:
    return int(_number(values, "seed", 0, -(2**63), 2**64))


def _number(values: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """A number of the input; the catalogue's schema has checked it already, a schema too wide must not harm us."""
    value = values.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ProviderError("invalid_input", f"input.{name} must be a number from {low} to {high}", retryable=False)
    return value
