"""Skies: gradient, sun or moon, clouds, stars, aurora."""

import math

import numpy as np

from workers.providers.sketch.art.canvas import Canvas
from workers.providers.sketch.art.colours import Palette, mix
from workers.providers.sketch.art.noise import Floats, Noise, smooth, step


class Sky:
    """The upper part of a landscape, down to `horizon` (in heights); it is painted a little further, behind the hills."""

    def __init__(self, rng: np.random.Generator, palette: Palette, canvas: Canvas, horizon: float, mood: str) -> None:
        self._canvas, self._palette, self._horizon, self._aurora = canvas, palette, horizon, mood == "aurora"
        self._clouds, self._veil = Noise(rng), Noise(rng)
        high = 0.12 if palette.dark else rng.choice([0.3, 0.42, 0.55])
        self.sun_x = float(rng.choice([0.33, 0.5, 0.66]) + rng.uniform(-0.06, 0.06)) * canvas.wide
        self.sun_y = float(horizon * (high + rng.uniform(0.05, 0.16)))
        self._radius = float(rng.uniform(0.035, 0.055) if palette.dark else rng.uniform(0.045, 0.085))
        self._retro = mood == "neon"  # a great striped sun that sinks into the horizon
        if self._retro:
            self.sun_y, self._radius = 0.55 * horizon + 0.02, float(rng.uniform(0.17, 0.23))
        self._cover = float(rng.uniform(0.42, 0.6))
        self._crescent = bool(rng.random() < 0.5)
        self._stars = rng.random((520, 4), np.float32)
        rows = np.clip(canvas.y / horizon, 0, 1)[:, None]
        upper, lower = smooth(np.clip(rows / 0.62, 0, 1)), smooth(np.clip((rows - 0.5) / 0.5, 0, 1))
        column = palette.top + (palette.middle - palette.top) * upper + (palette.low - palette.middle) * lower
        self._still = self._with_light(np.repeat(column[:, None, :], canvas.width, axis=1).astype(np.float32))

    def paint(self, seconds: float) -> Floats:
        """The sky of one moment, height by width by 3."""
        frame = self._still.copy()
        if self._palette.dark:
            self._paint_stars(frame, seconds)
        if self._aurora:
            self._paint_aurora(frame, seconds)
        self._paint_clouds(frame, seconds)
        return frame

    def _with_light(self, frame: Floats) -> Floats:
        canvas, palette, radius = self._canvas, self._palette, self._radius
        x, y = canvas.x - np.float32(self.sun_x), canvas.y[:, None] - np.float32(self.sun_y)
        away = np.sqrt(x * x + y * y)
        glow = 0.5 * np.exp(away * (-1 / (0.16 if palette.dark else 0.3))) + 0.3 * np.exp(away * (-1 / 0.08))
        warm = mix(palette.sun, palette.accent, 0.45)
        frame += (warm - frame) * np.clip(glow * (0.6 if palette.dark else 0.95), 0, 1)[..., None]
        disc = np.clip((radius - away) * canvas.height + 0.5, 0, 1)
        if self._retro:
            part = np.clip((y + radius) / (2 * radius), 0, 1)
            slits = np.sin(part * part * 46)
            disc = disc * (1 - step(slits + 1.5 * (part - 0.82), 0.05, 0.35) * (part > 0.3))
            colours = palette.sun + (palette.low - palette.sun) * smooth(part)[..., None]
            frame += (colours - frame) * disc[..., None]
            return frame.astype(np.float32, copy=False)
        if palette.dark and self._crescent:
            bite = np.sqrt((x - 0.45 * radius) ** 2 + (y + 0.25 * radius) ** 2)
            disc = disc * np.clip((bite - 0.95 * radius) * canvas.height + 0.5, 0.04, 1)
        frame += (palette.sun - frame) * disc[..., None]
        return frame.astype(np.float32, copy=False)

    def _paint_stars(self, frame: Floats, seconds: float) -> None:
        height, width = frame.shape[:2]
        size = max(1, round(height / 520))
        rows = (self._stars[:, 1] ** 1.3 * self._horizon * (height - 4 * size)).astype(int) + size
        columns = (self._stars[:, 0] * (width - 4 * size)).astype(int) + size
        twinkle = 0.72 + 0.28 * np.sin(2 * math.pi * self._stars[:, 3] + seconds * (1 + 2 * self._stars[:, 3]))
        bright = self._stars[:, 2] ** 5 * twinkle * (1 - 0.7 * self._stars[:, 1])
        for down in range(size + 1):
            for right in range(size + 1):
                weight = 0.9 if down < size and right < size else 0.3
                frame[rows + down, columns + right] += (weight * bright)[:, None]
        # Some big ones with a soft cross.
        for at in np.argsort(self._stars[:, 2])[-9:]:
            arm = max(1, round(height / 150))
            reach = (0.55 * twinkle[at] * (1 - np.abs(np.arange(-arm, arm + 1)) / (arm + 1)) ** 2)[:, None]
            row, column = max(arm, rows[at]), min(max(arm, columns[at]), width - arm - 1)
            frame[row, column - arm : column + arm + 1] += reach
            frame[row - arm : row + arm + 1, column] += reach

    def _paint_aurora(self, frame: Floats, seconds: float) -> None:
        canvas, palette = self._canvas, self._palette
        end = max(2, int(self._horizon * canvas.height))
        half = 2 if canvas.height > 96 else 1
        x, y = canvas.x[0, ::half], canvas.y[:end:half, None]
        violet = mix(palette.accent, np.array([0.65, 0.25, 0.95], np.float32), 0.75)
        light, keep = np.zeros((len(y), len(x), 3), np.float32), np.ones((len(y), len(x)), np.float32)
        for number, (base, strength) in enumerate(((0.66, 1.0), (0.5, 0.7), (0.8, 0.45))):
            drift = (x * 0.9 + (number * 17 + 0.012 * seconds)).astype(np.float32)
            line = self._horizon * (base - 0.42 * (self._veil.line(drift, 3) - 0.5))
            rays = self._clouds.line(x * 26 + 40 * self._veil.line(drift * 1.5, 2) + np.float32(0.25 * seconds), 2)
            folds = step(self._veil.line(x * 1.6 + np.float32(9 * number - 0.05 * seconds), 2), 0.12, 0.6)
            tall = (0.16 + 0.2 * (0.45 + 0.55 * rays)) * self._horizon
            above = line - y  # positive above the lower hem
            curtain = np.exp(np.where(above > 0, above / -tall, above / 0.012))
            curtain = np.clip(curtain * (1.35 * strength * folds * (0.45 + 0.55 * rays)), 0, 1)
            colour = (
                palette.accent + (violet - palette.accent) * np.clip(above * (2.2 / self._horizon), 0, 1)[..., None]
            )
            rest = 1 - np.float32(0.55) * curtain
            light = light * rest[..., None] + colour * (curtain * 1.15)[..., None]
            keep *= rest
        if half == 2:
            light, keep = canvas.doubled(light, end), canvas.doubled(keep, end)
        frame[:end] *= keep[..., None]
        frame[:end] += light

    def _paint_clouds(self, frame: Floats, seconds: float) -> None:
        """Clouds lie in a plane above: they get thinner towards the horizon, and glow where the sun is near."""
        canvas, palette = self._canvas, self._palette
        end = max(2, int(min(1.0, self._horizon) * canvas.height))
        half = 2 if canvas.height > 96 else 1  # they are soft: half the resolution is enough
        y, x = canvas.y[:end:half], canvas.x[0, ::half]
        plane = 1.15 / (1.12 - y / self._horizon)
        body = self._clouds.plane(plane * 1.5, x * 1.7 + np.float32(0.018 * seconds), 5, gain=0.55)
        lit = self._clouds.plane(plane * 1.5 - 0.12, x * 1.7 + np.float32(0.018 * seconds + 0.05), 3, gain=0.55)
        fade = step(y, 0.0, 0.2 * self._horizon)[:, None] * 0.5 + 0.5
        cover = step(body, 1 - self._cover, 1.12 - self._cover + 0.12) * fade * np.float32(0.5 if palette.dark else 0.8)
        near = np.exp(-((x[None, :] - self.sun_x) ** 2 + (y[:, None] - self.sun_y) ** 2) * 5)
        light = np.clip(0.5 + 3.2 * (body - lit) + 0.5 * near, 0, 1)
        if half == 2:
            cover, light = canvas.doubled(cover, end), canvas.doubled(light, end)
        shade = mix(palette.middle, palette.far if not palette.dark else palette.top, 0.4)
        bright = mix(palette.low, palette.sun, 0.6) if not palette.dark else mix(palette.middle, palette.low, 0.6)
        colour = shade + (bright - shade) * light[..., None]
        frame[:end] += (colour - frame[:end]) * cover[..., None]
