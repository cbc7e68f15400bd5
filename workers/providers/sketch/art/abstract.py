"""Pictures of nothing in particular: folded silk and stained glass."""

import math

import numpy as np

from workers.providers.sketch.art.canvas import Canvas
from workers.providers.sketch.art.colours import Palette, ramp, vivid
from workers.providers.sketch.art.noise import Floats, Noise, f32, step


def _jewel(hue: float) -> Floats:
    """A deep colour of any hue (0 to 1, round)."""
    wheel = 0.5 + 0.5 * np.cos(2 * math.pi * (hue + np.array([0.0, 0.33, 0.67])))
    return (0.08 + 0.86 * wheel).astype(np.float32)


class Silk:
    """Space folded again and again by slow waves, lit from a side."""

    def __init__(self, rng: np.random.Generator, palette: Palette, canvas: Canvas) -> None:
        self._canvas = canvas
        self._folds = [(float(rng.uniform(0.9, 1.35)), float(rng.uniform(0, 6.28)), float(rng.uniform(0, 6.28))) for _ in range(5)]  # fmt: skip
        self._turn = float(rng.uniform(0, 6.28))
        order = [palette.near, palette.far, palette.middle, palette.accent, palette.low, palette.sun]
        self._ramp = ramp([*order, *order[-2:0:-1]])
        self._scale = float(rng.uniform(2.2, 3.2))

    def paint(self, seconds: float) -> Floats:
        canvas = self._canvas
        u = (canvas.x - canvas.wide / 2) * np.float32(self._scale)
        v = ((canvas.y - 0.5) * np.float32(self._scale))[:, None]
        cos, sin = np.float32(math.cos(self._turn)), np.float32(math.sin(self._turn))
        u, v = u * cos - v * sin, u * sin + v * cos
        for number, (strength, one, two) in enumerate(self._folds, 1):
            reach, wave = np.float32(strength / number**0.75), np.float32(0.8 * number**0.9)
            u = u + reach * np.sin(wave * v + np.float32(one + 0.16 * seconds))
            v = v + reach * np.sin(wave * u + np.float32(two - 0.13 * seconds))
        tone = (
            0.5 + 0.25 * np.sin(u * np.float32(0.8)) + 0.25 * np.sin(v * np.float32(0.7) + u * np.float32(0.35))
        ).astype(np.float32)
        colour = self._ramp[np.clip(tone * 1023, 0, 1023).astype(np.int32)]
        # Light from the upper left upon the cloth that the tone is taken to be.
        steep = np.float32(canvas.height / 9)
        down, right = np.gradient(np.sin(v * np.float32(1.3)) * np.float32(0.5) + tone)
        shade = np.clip(
            np.float32(0.5) - (down * np.float32(0.75) + right * np.float32(0.6)) * steep * np.float32(0.5), 0, 1
        )
        gloss = step(shade, 0.62, 1.0)
        colour *= (0.55 + 0.6 * shade)[..., None]
        colour += (1 - colour) * (gloss * gloss * 0.38)[..., None]
        return f32(colour)


class Glass:
    """Stained glass: cells around scattered points, leaded, with a light that wanders behind them."""

    def __init__(self, rng: np.random.Generator, palette: Palette, canvas: Canvas) -> None:
        self._canvas = canvas
        cells = max(2, min(int(rng.integers(9, 14)), canvas.height // 9))  # per height; none smaller than its lead
        jitter = rng.random((64, 64, 2), np.float32) * np.float32(0.86) + np.float32(0.07)
        self._tones = rng.random((64, 64), np.float32)
        self._phases = rng.random(64 * 64, np.float32)
        self._sun = (float(rng.uniform(0.3, 0.7)) * canvas.wide, float(rng.uniform(0.25, 0.55)))
        first = float(rng.uniform(0, 1))
        jewels = [vivid(c, 1.5) for c in (palette.near, palette.top, palette.far, palette.middle, palette.accent)]
        self._ramp = ramp([*jewels, _jewel(first), vivid(palette.low, 1.3)])
        noise = Noise(rng)
        self._cell, edge = _voronoi(canvas, jitter, cells)
        row, column = self._cell // 64, self._cell % 64
        # A cell's colour follows its place and the noise, so that neighbours are kin and the whole has a form.
        center_y, center_x = (row + jitter[row, column, 1]) / cells, (column + jitter[row, column, 0]) / cells
        away = np.sqrt(((center_x - self._sun[0]) / max(1.0, canvas.wide / 2)) ** 2 + (center_y - self._sun[1]) ** 2)
        swirl = noise.line(
            (away * 3 + np.arctan2(center_y - self._sun[1], center_x - self._sun[0]) * 0.6).astype(np.float32), 3
        )
        self._tone = np.clip(0.94 - away * 0.95 + 0.75 * (swirl - 0.5) + 0.34 * (self._tones[row, column] - 0.5), 0, 1)
        lead = 0.055 + 0.6 / max(60.0, canvas.height / cells)
        self._pane = step(edge, lead * 0.55, lead * 0.55 + max(0.025, 1.6 * cells / canvas.height))
        self._bevel = step(edge, 0.05, 0.42)
        streaks = noise.plane(canvas.y * 5, canvas.x[0] * 9, 4)
        self._texture = (0.86 + 0.28 * streaks).astype(np.float32)

    def paint(self, seconds: float) -> Floats:
        canvas = self._canvas
        flicker = (0.06 * np.sin(6.28 * self._phases + seconds * (0.5 + self._phases))).astype(np.float32)
        tone = np.clip(self._tone + flicker[self._cell], 0, 1)
        colour = self._ramp[(tone * 1023).astype(np.int32)]
        sun_x = self._sun[0] + 0.12 * math.sin(0.35 * seconds)
        away = ((canvas.x - sun_x) / max(1.0, canvas.wide / 2)) ** 2 + ((canvas.y - self._sun[1]) ** 2)[:, None]
        light = 0.66 + 0.5 * np.exp(away * np.float32(-3.2))
        colour = colour * (self._texture * (0.8 + 0.28 * self._bevel) * light * self._pane)[..., None]
        dark = f32([0.035, 0.03, 0.05])
        return f32(colour + dark * (1 - self._pane)[..., None])


def _voronoi(canvas: Canvas, jitter: Floats, cells: int) -> tuple[np.ndarray, Floats]:
    """Which cell each pixel lies in (row * 64 + column), and how far it is from that cell's border (in cells)."""
    x, y = canvas.x * np.float32(cells), canvas.y[:, None] * np.float32(cells)
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    near = np.full((canvas.height, canvas.width), 9, np.float32)
    second = near.copy()
    cell = np.zeros(near.shape, np.int32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            at_row, at_column = (row + down) % 64, (column + right) % 64
            point = jitter[at_row, at_column]
            away = (x - (column + right) - point[..., 0]) ** 2 + (y - (row + down) - point[..., 1]) ** 2
            closer = away < near
            second = np.where(closer, near, np.minimum(second, away))
            near = np.where(closer, away, near)
            cell = np.where(closer, at_row * 64 + at_column, cell)
    return cell, (np.sqrt(second) - np.sqrt(near)).astype(np.float32)
