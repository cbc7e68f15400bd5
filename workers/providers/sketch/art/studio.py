"""From a prompt and a seed to a picture: which style, which mood, then the last touches that all pictures share."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from workers.providers.sketch.art.abstract import Glass, Silk
from workers.providers.sketch.art.canvas import Canvas, Style
from workers.providers.sketch.art.colours import (
    MOOD_WORDS,
    MOODS,
    STYLE_WORDS,
    WATER_WORDS,
    choose_palette,
    fitting,
    words_of,
)
from workers.providers.sketch.art.cosmos import Cosmos
from workers.providers.sketch.art.land import Land
from workers.providers.sketch.art.noise import grain

VERSION = 2  # takes part in every seed: another way of painting is another picture, never a silent difference
COSMIC = ("aurora", "dream", "neon", "night", "sunset")  # moods whose colours glow before black


class Picture:
    """A picture on its canvas."""

    def __init__(self, style: Style, canvas: Canvas) -> None:
        self._style, self._canvas = style, canvas
        x, y = (canvas.x / canvas.wide - 0.5) * 1.2, ((canvas.y - 0.5) * 1.1)[:, None]
        self._vignette = ((1.03 - 0.3 * (x * x + y * y)) * 255)[..., None].astype(np.float32)
        tile = grain()
        again = (canvas.height // tile.shape[0] + 1, canvas.width // tile.shape[1] + 1)
        self._grain = np.tile(tile, again)[: canvas.height, : canvas.width, None]

    def at(self, seconds: float = 0.0) -> NDArray[np.uint8]:
        """One moment: height by width by 3."""
        frame = self._style.paint(seconds)
        frame *= self._vignette
        frame += self._grain
        return np.clip(frame, 0, 255).astype(np.uint8)


def make_picture(prompt: str, seed: int, number: int, width: int, height: int, *, margin: float = 0.0) -> Picture:
    """Decide what picture `number` of a request shows. Same arguments and VERSION, same pixels (on one kind of CPU)."""
    digest = hashlib.sha256(f"{VERSION}|{seed}|{number}|{prompt}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    words, canvas = words_of(prompt), Canvas(width, height, margin)
    mood = str(rng.choice(fitting(words, MOOD_WORDS) or sorted(MOODS)))
    water = not words.isdisjoint(WATER_WORDS.split())
    styles = fitting(words, STYLE_WORDS)
    if not styles:
        # Water, or an hour of the day, asks for a landscape; nothing at all leaves the choice free.
        styles = ["mountains"] if water or fitting(words, MOOD_WORDS) else sorted(STYLE_WORDS)
    style = str(rng.choice(styles))
    if style == "cosmos" and mood not in COSMIC:
        mood = COSMIC[int(rng.integers(len(COSMIC)))]
    if style == "dunes" and not fitting(words, MOOD_WORDS):
        mood = "desert"
    water = (water or rng.random() < 0.3) and style != "dunes"
    palette = choose_palette(mood, rng)
    match style:
        case "silk":
            return Picture(Silk(rng, palette, canvas), canvas)
        case "glass":
            return Picture(Glass(rng, palette, canvas), canvas)
        case "cosmos":
            return Picture(Cosmos(rng, palette, canvas), canvas)
    return Picture(Land(rng, style, mood, palette, canvas, water=water), canvas)
