"""Landscapes: mountains, dunes, woods and towns under a sky, with or without water."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workers.providers.sketch.art.canvas import Canvas
from workers.providers.sketch.art.colours import Palette, mix
from workers.providers.sketch.art.noise import Floats, Noise, f32, step
from workers.providers.sketch.art.sky import Sky
from workers.providers.sketch.art.strips import Strip, StripMaker, city, columns_of, make_strip, woods
from workers.providers.sketch.art.water import Water


@dataclass(slots=True)
class Ridge:
    """One line of hills standing at `base`, `tall` high; `depth` is 0 far away and 1 in front."""

    kind: str
    depth: float
    base: float
    tall: float
    colour: Floats
    haze: Floats  # what it fades into at its foot
    sunlit: Floats | None = None  # mountains: the colour of slopes that the sun meets
    snow: float = 0.0

    def strip(self, rng: np.random.Generator, canvas: Canvas) -> Strip:
        """Draw it once."""
        noise, stretch = Noise(rng), float(rng.uniform(0.9, 1.3)) * (1.3 + 0.9 * self.depth)
        lean = float(rng.choice([-1.0, 1.0]))
        x = (np.arange(columns_of(canvas), dtype=np.float32) + 0.5) / np.float32(canvas.height)
        place = (x * np.float32(stretch)).astype(np.float32)
        line = self._line(noise, place)
        start = min(max(0, int(float(line.min()) * canvas.height) - 1), canvas.height - 1)
        below = canvas.y[start:, None] - line[None, :]
        cover = np.clip(below * np.float32(canvas.height) + np.float32(0.5), 0, 1)
        down = np.clip(below * np.float32(1 / max(0.05, 1.6 * self.tall)), 0, 1)
        faded = (down * np.float32(0.75 - 0.4 * self.depth))[..., None]
        colour = (self.colour + (self.haze - self.colour) * faded).astype(np.float32)
        if self.sunlit is not None:
            self._light_slopes(colour, self.sunlit, noise, place[None, :], below, down, line, lean)
        elif self.kind == "dunes":
            slope = np.gradient(line).astype(np.float32) * np.float32(canvas.height)
            lit = step(slope * np.float32(lean), -0.25, 0.5)[None, :] * np.exp(below * np.float32(-7))
            colour += (self.haze * np.float32(1.05) - colour) * (lit * np.float32(0.55))[..., None]
        return make_strip(start, cover, colour, 0.002 + 0.010 * self.depth)

    def _line(self, noise: Noise, place: Floats) -> Floats:
        """Where the crest stands, per column."""
        if self.kind == "dunes":
            rise = f32(0.5 + 0.5 * np.sin(place * 2.2 + 3.5 * noise.line(place * np.float32(0.9), 2)))
        else:
            rise = f32(noise.ridged(place) * 1.9 - 0.25)  # drawn apart, so that there are valleys between the peaks
        return f32(self.base - self.tall * rise)

    def _light_slopes(self, colour: Floats, sunlit: Floats, noise: Noise, place: Floats, below: Floats, down: Floats, line: Floats, lean: float) -> None:  # fmt: skip
        """Noise sheared along the fall of a mountain makes faces that the sun meets or misses."""
        lit = step(noise.quick(place * 3 + below * np.float32(5 * lean)), 0.42, 0.62) * np.clip(1 - down * 1.15, 0, 1)
        colour += (sunlit - colour) * (lit * np.float32(0.34))[..., None]
        if self.snow:
            # Snow lies on the peaks and runs down in tongues; valleys have none.
            tongues = noise.quick(place * 13 + below * np.float32(9 * lean))
            peak = np.clip((np.float32(self.base - 0.5 * self.tall) - line) / np.float32(0.7 * self.tall), 0, 1)
            white = step(self.snow * peak[None, :] * (0.1 + 1.7 * tongues * tongues) - below, -0.004, 0.006)
            cold = self.colour + (f32([0.95, 0.98, 1.0]) - self.colour) * (0.55 + 0.45 * lit)[..., None]
            colour += (cold - colour) * (white * np.float32(0.92))[..., None]


class Land:
    """A landscape of a kind: "mountains", "dunes", "forest" or "city"."""

    def __init__(self, rng: np.random.Generator, kind: str, mood: str, palette: Palette, canvas: Canvas, *, water: bool) -> None:  # fmt: skip
        self._canvas = canvas
        horizon = 0.66 if water else 0.74
        bottom = horizon if water else 1.02
        # Each part draws from a generator of its own: strips may then be made at any time.
        sky_rng, ridge_rng, water_rng = rng.spawn(3)
        self._sky = Sky(sky_rng, palette, canvas, horizon, mood)
        self._makers: list[StripMaker] = [ridge.strip for ridge in _ridges(ridge_rng, kind, mood, palette, bottom)]
        if kind == "forest":
            self._makers += woods(palette, bottom)
        elif kind == "city":
            self._makers += city(palette, bottom if water else 0.97)
        elif not water and kind == "mountains" and mood in {"forest", "ice", "dawn", "day", "aurora", "night"}:
            self._makers += woods(palette, 1.06)[-1:]
        self._rngs = rng.spawn(len(self._makers))
        self._end = int(horizon * canvas.height) if water else canvas.height
        self._water = Water(water_rng, palette, canvas, horizon, self._sky.sun_x, self._sky.sun_y) if water else None
        self._kept = list(self._strips()) if canvas.margin else None

    def _strips(self) -> Iterator[Strip]:
        """Made one after the other; what lies below the horizon is painted over by the water."""
        for make, rng in zip(self._makers, self._rngs, strict=True):
            yield make(rng, self._canvas).down_to(self._end)

    def paint(self, seconds: float) -> Floats:
        """The landscape at one moment. A film keeps its strips; a still picture, which may be large, drops each at once."""
        frame = self._sky.paint(seconds)
        for strip in self._strips() if self._kept is None else self._kept:
            strip.paint(frame, self._canvas, seconds)
        if self._water is not None:
            self._water.paint(frame, seconds)
        return frame


def _ridges(rng: np.random.Generator, kind: str, mood: str, palette: Palette, bottom: float) -> list[Ridge]:
    count = {"mountains": 4, "dunes": 4, "forest": 2, "city": 1}[kind] + int(rng.integers(0, 2))
    ridges = []
    for number in range(count):
        depth = number / max(1, count - 1) if count > 1 else 0.0
        last = bottom if kind in {"mountains", "dunes"} else bottom - 0.06
        base = 0.6 + (last - 0.6) * depth**0.9 if count > 1 else last
        tall = {"mountains": 0.3 - 0.13 * depth, "dunes": 0.1 + 0.1 * depth, "forest": 0.16, "city": 0.14}[kind]
        reach = depth * (1.0 if kind in {"mountains", "dunes"} else 0.35)
        colour = mix(mix(palette.far, palette.low, 0.42 * (1 - reach)), palette.near, reach**1.2 * 0.92)
        haze = mix(colour, palette.low if not palette.dark else palette.middle, 0.62)
        ridge = Ridge(kind, depth, base, tall * float(rng.uniform(0.85, 1.15)), colour, haze)
        if kind == "mountains":
            ridge.sunlit = mix(colour, palette.accent if palette.dark else palette.sun, 0.3 if palette.dark else 0.55)
            if mood == "ice" or (mood in {"day", "aurora"} and number < 2):
                ridge.snow = 0.3 * (1 - 0.4 * depth)
        ridges.append(ridge)
    return ridges
