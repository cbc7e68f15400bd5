"""Smooth noise in one and two dimensions.

Everything here is separable or one-dimensional: a field costs a few operations per pixel, moves by moving its
coordinates, and uses no matrix product (BLAS may round otherwise with another number of threads).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LATTICE = 64  # the fields repeat after so many cells
OCTAVES = 6


def f32(value: object) -> Floats:
    """As an array of float32: half the work of float64, and enough for eight bits per colour."""
    return np.asarray(value, np.float32)


def smooth(value: Floats) -> Floats:
    """Smoothstep of values already between 0 and 1."""
    return (value * value * (np.float32(3) - np.float32(2) * value)).astype(np.float32, copy=False)


def step(value: Floats, low: float, high: float) -> Floats:
    """Smoothstep from 0 at `low` to 1 at `high`."""
    return smooth(np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1))


class Noise:
    """Value noise drawn once from a generator; all sizes of picture draw the same numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._lattice: Floats = rng.random((OCTAVES, LATTICE, LATTICE), np.float32)
        self._offsets = rng.uniform(0, LATTICE, (OCTAVES, 2))

    def line(self, x: Floats, octaves: int = OCTAVES, gain: float = 0.5) -> Floats:
        """Values between 0 and 1 along `x` (any shape), one cell of the first octave per unit."""
        total, weight, sum_ = 0.0, 1.0, np.zeros_like(x)
        for octave in range(octaves):
            sum_ += np.float32(weight) * self._along(x, octave)
            total += weight
            weight *= gain
        return sum_ / np.float32(total)

    def quick(self, x: Floats, octaves: int = 3) -> Floats:
        """`line` for a whole picture of places: looked up in a table of it, which is a tenth of the work."""
        low, high = float(x.min()), float(x.max())
        scale = 4095 / max(1e-6, high - low)
        table = self.line(np.linspace(low, high, 4096, dtype=np.float32), octaves)
        return table[((x - np.float32(low)) * np.float32(scale)).astype(np.int32)]

    def ridged(self, x: Floats, octaves: int = OCTAVES) -> Floats:
        """Like `line`, but with the sharp crests of mountains."""
        total, weight, sum_ = 0.0, 1.0, np.zeros_like(x)
        rough: Floats | float = 1.0
        for octave in range(octaves):
            crest = 1 - np.abs(2 * self._along(x, octave) - 1)
            crest = crest * crest
            sum_ += np.float32(weight) * crest * rough
            rough = np.clip(crest * 1.4, 0.25, 1)  # high places are rough, valleys are smooth
            total += weight
            weight *= 0.48
        return sum_ / np.float32(total)

    def plane(self, y: Floats, x: Floats, octaves: int = OCTAVES, gain: float = 0.5, first: int = 0) -> Floats:
        """A field of len(y) by len(x) values between 0 and 1; both are coordinates in cells of the first octave."""
        sum_ = np.zeros((len(y), len(x)), np.float32)
        weight, total = 1.0, 0.0
        for octave in range(octaves):
            at = (octave + first) % OCTAVES
            scale = 2.0**octave
            rows = _mix_rows(self._lattice[at], y * scale + self._offsets[at, 0])
            sum_ += np.float32(weight) * _mix_rows(rows.T, x * scale + self._offsets[at, 1]).T
            total += weight
            weight *= gain
        return sum_ / np.float32(total)

    def _along(self, x: Floats, octave: int) -> Floats:
        place = x * 2.0**octave + self._offsets[octave, 0]
        cell = np.floor(place).astype(np.int32)
        part = smooth((place - cell).astype(np.float32))
        row = self._lattice[octave, 0]
        left, right = row[cell % LATTICE], row[(cell + 1) % LATTICE]
        return f32(left + (right - left) * part)


def _mix_rows(table: Floats, places: NDArray[np.float64]) -> Floats:
    """Rows of a periodic table at fractional places: len(places) by the table's width."""
    cell = np.floor(places).astype(np.int32)
    part = smooth((places - cell).astype(np.float32))[:, None]
    above, below = table[cell % LATTICE], table[(cell + 1) % LATTICE]
    return above + (below - above) * part


@lru_cache(maxsize=1)
def grain() -> Floats:
    """One fixed tile of fine noise between 0 and 1: it hides the steps of smooth skies."""
    return np.random.default_rng(20).random((128, 128), np.float32)
