"""Where a picture is painted: its size, and the coordinates of its pixels."""

from typing import Protocol

import numpy as np

from workers.providers.sketch.art.noise import Floats


class Canvas:
    """Coordinates in heights: y runs from 0 to 1, x from 0 to `wide`.

    `margin` is how far (in heights) what stands in front may move sideways: films have one, still pictures none.
    """

    def __init__(self, width: int, height: int, margin: float = 0.0) -> None:
        self.width, self.height, self.margin = width, height, margin
        self.wide = width / height
        self.y: Floats = ((np.arange(height, dtype=np.float32) + 0.5) / height).astype(np.float32)
        self.x: Floats = ((np.arange(width, dtype=np.float32) + 0.5) / height).astype(np.float32)[None, :]

    def doubled(self, field: Floats, rows: int) -> Floats:
        """A field (perhaps of colours) of half the resolution at full resolution: `rows` by the width, interpolated."""
        wide = np.empty((len(field), 2 * field.shape[1], *field.shape[2:]), np.float32)
        wide[:, 0::2] = field
        wide[:, 1:-1:2] = (field[:, :-1] + field[:, 1:]) * np.float32(0.5)
        wide[:, -1] = field[:, -1]
        tall = np.empty((2 * len(field), *wide.shape[1:]), np.float32)
        tall[0::2] = wide
        tall[1:-1:2] = (wide[:-1] + wide[1:]) * np.float32(0.5)
        tall[-1] = wide[-1]
        return tall[:rows, : self.width]


class Style(Protocol):
    """One kind of picture, made for one canvas; everything random was drawn when it was made."""

    def paint(self, seconds: float) -> Floats:
        """The picture at one moment: height by width by 3, values around 0 to 1."""
        ...
