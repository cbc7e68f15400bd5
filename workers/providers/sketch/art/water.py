"""Still water: what stands above it, upside down and rippled, and the sun's path upon it."""

import numpy as np

from workers.providers.sketch.art.canvas import Canvas
from workers.providers.sketch.art.colours import Palette, mix
from workers.providers.sketch.art.noise import Floats, Noise, step


class Water:
    """Everything below `horizon` (in heights)."""

    def __init__(self, rng: np.random.Generator, palette: Palette, canvas: Canvas, horizon: float, sun_x: float, sun_y: float) -> None:  # fmt: skip
        self._canvas, self._palette = canvas, palette
        self._begin = int(horizon * canvas.height)
        self._horizon, self._sun_x, self._sun_y = horizon, sun_x, sun_y
        self._waves, self._glints = Noise(rng), Noise(rng)
        self._deep = mix(palette.near, palette.top, 0.5) * np.float32(0.8)

    def paint(self, frame: Floats, seconds: float) -> None:
        canvas, begin = self._canvas, self._begin
        rows = canvas.height - begin
        if rows < 2:
            return
        below = canvas.y[begin:] - np.float32(self._horizon)
        depth = np.clip(below / (1 - self._horizon), 0, 1).astype(np.float32)
        # Waves lie in perspective: close together at the horizon, wide in front.
        plane = (np.float32(9) / (depth + np.float32(0.12))).astype(np.float32)
        x = canvas.x[0] * np.float32(3.2)
        waves = self._waves.plane(plane - np.float32(0.55 * seconds), x + np.float32(0.12 * seconds), 3) - np.float32(
            0.5
        )
        sway = waves * (0.012 + 0.085 * depth)[:, None]
        mirrored = begin - 1 - np.arange(rows, dtype=np.float32)[:, None] * 0.94 + sway * canvas.height
        source = np.clip(mirrored, 0, begin - 1).astype(np.int32)
        shift = np.clip(np.arange(canvas.width)[None, :] + sway * (0.35 * canvas.height), 0, canvas.width - 1)
        sky = frame[source, shift.astype(np.int32)]
        keep = (0.86 - 0.38 * depth)[:, None, None]
        out = self._deep + (sky - self._deep) * keep
        # The path of light under the sun, broken into glints.
        path = np.exp(-(((canvas.x[0] - self._sun_x)[None, :] / (0.035 + 0.13 * depth)[:, None]) ** 2))
        fine = self._glints.plane(
            plane * 2.4 - np.float32(1.3 * seconds), canvas.x[0] * 9 + np.float32(0.2 * seconds), 2
        )
        glint = path * step(fine, 0.5, 0.72) * (0.8 if self._palette.dark else 0.95)
        out += (self._palette.sun - out) * (glint * (1 - 0.35 * depth)[:, None])[..., None]
        edge = np.exp(below * -70)[:, None, None] * 0.16
        frame[begin:] = out + (self._palette.low - out) * edge
