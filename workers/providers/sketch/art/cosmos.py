"""Deep space: a nebula, stars, and a planet with its shadow side, perhaps with rings."""

import math

import numpy as np

from workers.providers.sketch.art.canvas import Canvas
from workers.providers.sketch.art.colours import Palette, mix, ramp, vivid
from workers.providers.sketch.art.noise import Floats, Noise, f32, step


class Cosmos:
    """Drawn once: stars, planet and rings; the nebula drifts, the planet turns."""

    def __init__(self, rng: np.random.Generator, palette: Palette, canvas: Canvas) -> None:
        self._canvas, self._palette = canvas, palette
        self._one, self._two, self._three = Noise(rng), Noise(rng), Noise(rng)
        self._stars = rng.random((900, 5), np.float32)
        x, y = float(rng.uniform(0.25, 0.75)) * canvas.wide, float(rng.uniform(0.35, 0.65))
        self._radius, self._tilt = float(rng.uniform(0.14, 0.26)), float(rng.uniform(-0.5, 0.5))
        rings = bool(rng.random() < 0.55)
        colours = (palette.near, palette.far, palette.middle, palette.low, palette.accent, palette.low, palette.far)
        self._bands = ramp(list(colours))
        # Only the part of the picture that planet and rings lie in is worked on.
        reach = self._radius * 2.2 if rings else self._radius * 1.5
        rows = [min(canvas.height, max(0, int((y + side * reach) * canvas.height))) for side in (-1, 1)]
        columns = [min(canvas.width, max(0, int((x + side * reach) * canvas.height))) for side in (-1, 1)]
        self._part = (slice(*rows), slice(*columns))
        self._dx = (canvas.x[:, self._part[1]] - np.float32(x)) / np.float32(self._radius)
        self._dy = ((canvas.y[self._part[0]] - np.float32(y)) / np.float32(self._radius))[:, None]
        self._rings = [self._make_rings(front=front) for front in (False, True)] if rings else []

    def paint(self, seconds: float) -> Floats:
        frame = self._nebula(seconds)
        self._paint_stars(frame, seconds)
        part = frame[self._part]
        if self._rings:
            colour, cover = self._rings[0]
            part += (colour - part) * cover
        self._paint_planet(part, seconds)
        if self._rings:
            colour, cover = self._rings[1]
            part += (colour - part) * cover
        return frame

    def _nebula(self, seconds: float) -> Floats:
        canvas, palette = self._canvas, self._palette
        half = 2 if canvas.height > 96 else 1  # it is soft: half the resolution is enough
        y = canvas.y[::half] * np.float32(2.4)
        x = canvas.x[0, ::half] * np.float32(2.4) + np.float32(0.012 * seconds)
        one, two = self._one.plane(y, x, 6, 0.55), self._two.plane(y, x, 6, 0.55)
        dust = self._three.plane(y * np.float32(1.4), x * np.float32(1.4), 6, 0.6)
        # Where two fields are equal there is a thread of light.
        thread = np.exp(((one - two) * 9) ** 2 * -1) * step(dust, 0.3, 0.7)
        cloud = step(one, 0.38, 0.8) * (0.5 + 0.7 * dust)
        dark = palette.top * np.float32(0.22)
        frame = f32(dark + (vivid(palette.low, 1.5) * np.float32(0.75) - dark) * (cloud * 0.8)[..., None])
        frame += vivid(palette.accent, 1.4) * (step(two, 0.42, 0.8) * (0.27 + 0.5 * dust))[..., None]
        frame += palette.sun * (thread * cloud * 0.6)[..., None]
        frame *= (0.35 + 0.65 * step(dust, 0.22, 0.5))[..., None]
        return canvas.doubled(frame, canvas.height) if half == 2 else frame

    def _paint_stars(self, frame: Floats, seconds: float) -> None:
        height, width = frame.shape[:2]
        size = max(1, round(height / 560))
        rows = (self._stars[:, 0] * (height - size - 1)).astype(int)
        columns = (self._stars[:, 1] * (width - size - 1)).astype(int)
        twinkle = 0.96 + 0.24 * np.sin(seconds * 2 + 6.28 * self._stars[:, 3])
        cold, warm = f32([0.8, 0.9, 1.0]), f32([1.0, 0.9, 0.75])
        light = (self._stars[:, 2] ** 6 * twinkle)[:, None] * (cold + (warm - cold) * self._stars[:, 4:])
        for down in range(size):
            for right in range(size):
                frame[rows + down, columns + right] += light

    def _paint_planet(self, part: Floats, seconds: float) -> None:
        dx, dy, cos, sin = self._dx, self._dy, math.cos(self._tilt), math.sin(self._tilt)
        away = np.sqrt(dx * dx + dy * dy)
        cover = np.clip((1 - away) * np.float32(self._radius * self._canvas.height) + np.float32(0.5), 0, 1)
        depth = np.sqrt(np.clip(1 - away * away, 0, 1))
        across = dy * np.float32(cos) - dx * np.float32(sin)
        along = np.arcsin(np.clip(dx * np.float32(cos) + dy * np.float32(sin), -1, 1))
        stir = self._two.quick(along * np.float32(1.7) + 5 * across + np.float32(0.05 * seconds)) - np.float32(0.5)
        band = self._one.quick(across * np.float32(2.6) + np.float32(0.35) * stir, 4)
        surface = self._bands[np.clip((band * 1.5 - 0.25) * 1023, 0, 1023).astype(np.int32)]
        light = np.clip(-0.62 * dx - 0.42 * dy + 0.66 * depth, 0, 1)
        surface = surface * (0.03 + 1.05 * light)[..., None]
        part += (surface - part) * cover[..., None]
        rim = np.exp(np.abs(away - 1) * -16) * np.clip(-0.7 * dx - 0.5 * dy + 0.25, 0, 1)
        part += self._palette.accent * (rim * np.float32(0.7))[..., None]

    def _make_rings(self, *, front: bool) -> tuple[Floats, Floats]:
        """Colour and cover of the half in front of the planet, or of the one behind."""
        dx, dy, cos, sin = self._dx, self._dy, math.cos(self._tilt), math.sin(self._tilt)
        along, across = dx * cos + dy * sin, (dy * cos - dx * sin) / 0.27
        away = np.sqrt(along * along + across * across).astype(np.float32)
        inside = step(away, 1.32, 1.36) * (1 - step(away, 2.1, 2.14))
        lines = 0.3 + 0.7 * self._three.quick(away * np.float32(13), 4)
        half = across > 0 if front else across <= 0
        cover = inside * step(lines, 0.42, 0.8) * half * np.float32(0.85)
        colour = mix(self._palette.low, self._palette.sun, 0.4) * (0.55 + 0.45 * lines)[..., None]
        return colour.astype(np.float32), cover[..., None].astype(np.float32)
