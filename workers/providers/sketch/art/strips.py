"""What stands in the picture: trees and houses. It is drawn once into a strip, and moved sideways in films: the near faster."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from workers.providers.sketch.art.canvas import Canvas
from workers.providers.sketch.art.colours import Palette, mix
from workers.providers.sketch.art.noise import Floats, Noise, f32, step


@dataclass(frozen=True, slots=True)
class Strip:
    """Paint that covers a part of the picture, wider than the canvas by its margin."""

    top: int
    light: Floats  # rows by columns by 4: colours times cover, and 1 - cover
    speed: float  # heights per second

    def paint(self, frame: Floats, canvas: Canvas, seconds: float) -> None:
        """Lay it over a frame, moved as far as it is by now; what lies between two pixels is interpolated."""
        spare = self.light.shape[1] - canvas.width
        moved = min(self.speed * seconds * canvas.height, max(0, spare - 1))
        first, part = int(moved), np.float32(moved % 1)
        light = self.light[:, first : first + canvas.width]
        if part:
            light = light + (self.light[:, first + 1 : first + 1 + canvas.width] - light) * part
        target = frame[self.top : self.top + len(light)]
        target *= light[: len(target), :, 3:]
        target += light[: len(target), :, :3]

    def down_to(self, row: int) -> "Strip":
        """The part above a row of the picture."""
        return Strip(self.top, self.light[: max(0, row - self.top)], self.speed)


def make_strip(top: int, cover: Floats, colour: Floats, speed: float) -> Strip:
    """From a cover of 0 to 1 (rows by columns) and colours (rows by 1 or columns by 3)."""
    light = np.empty((*cover.shape, 4), np.float32)
    np.multiply(colour, cover[..., None], out=light[..., :3])
    np.subtract(1, cover, out=light[..., 3])
    return Strip(top, light, speed)


def columns_of(canvas: Canvas) -> int:
    """How many columns a strip needs on this canvas."""
    return canvas.width + (int(canvas.margin * canvas.height) + 2 if canvas.margin else 0)


StripMaker = Callable[[np.random.Generator, Canvas], Strip]


def woods(palette: Palette, bottom: float) -> list[StripMaker]:
    """Three rows of conifers, pale and small behind, dark and tall in front."""
    haze = palette.low if not palette.dark else palette.middle
    makers: list[StripMaker] = []
    for number, (tall, base, fog) in enumerate(((0.13, 0.80, 0.62), (0.22, 0.9, 0.3), (0.4, 1.03, 0.0))):
        foot = bottom - (1.03 - base) * (0.9 if bottom > 0.9 else 0.35)
        colour = mix(palette.near, mix(palette.far, haze, 0.5), fog)
        mist = mix(colour, haze, 0.35 if fog else 0.0)
        speed = 0.004 + 0.005 * number
        makers.append(partial(_trees, colour=colour, haze=mist, foot=foot, tall=tall, speed=speed))
    return makers


def _trees(rng: np.random.Generator, canvas: Canvas, *, colour: Floats, haze: Floats, foot: float, tall: float, speed: float) -> Strip:  # fmt: skip
    ground = Noise(rng)
    spacing = tall * 0.2
    height = canvas.height
    columns = columns_of(canvas)
    rows = int(min(1.25, tall * 1.5) * height)
    top = max(0, int((foot - tall * 1.35) * height))
    y = f32((np.arange(top, top + rows) + 0.5) / height)
    x = f32((np.arange(columns) + 0.5) / height)
    hill = np.float32(foot) - np.float32(0.35 * tall) * ground.line(x * 1.6, 3) + np.float32(0.1 * tall)
    cover = np.clip((y[:, None] - hill[None, :]) * height + 0.5, 0, 1)
    for middle in np.arange(-0.5 * spacing, columns / height + spacing, spacing):
        place, size, ragged = middle + rng.uniform(-0.4, 0.4) * spacing, rng.uniform(0.45, 1.0), rng.uniform(0, 6.28)
        gap = rng.random()
        column = int(place * height)
        reach = max(2, int(0.2 * tall * size * height) + 2)
        left, right = max(0, column - reach), min(columns, column + reach)
        if left >= right or gap < 0.12:
            continue
        crown = float(hill[min(max(column, 0), columns - 1)]) - tall * size
        begin = min(max(0, int(crown * height) - top), rows)
        end = min(rows, int((crown + tall * size * 1.05) * height) - top + 1)
        down = (y[begin:end] - crown) / np.float32(tall * size)
        # Branches: the outline swings out and in on its way down, less so at the top.
        saw = (down * 9 + ragged) % 1
        half = 0.155 * tall * size * down * (0.55 + 0.5 * saw) + 0.004 * tall
        shape = (
            np.clip((half[:, None] - np.abs(x[None, left:right] - place)) * height + 0.5, 0, 1) * (down > 0)[:, None]
        )
        np.maximum(cover[begin:end, left:right], shape, out=cover[begin:end, left:right])
    low = step(y, foot - 0.5 * tall, foot + 0.1)[:, None, None]
    return make_strip(top, f32(cover), f32(colour + (haze - colour) * low), speed)


def city(palette: Palette, bottom: float) -> list[StripMaker]:
    """Three rows of houses with lit windows, up to `bottom`."""
    haze = palette.low if not palette.dark else mix(palette.middle, palette.low, 0.35)
    makers: list[StripMaker] = []
    for number, (tall, fog) in enumerate(((0.44, 0.7), (0.33, 0.38), (0.2, 0.06))):
        colour = mix(palette.near, haze, fog)
        makers.append(
            partial(_houses, palette=palette, colour=colour, haze=haze, bottom=bottom, tall=tall, number=number)
        )
    return makers


def _houses(rng: np.random.Generator, canvas: Canvas, *, palette: Palette, colour: Floats, haze: Floats, bottom: float, tall: float, number: int) -> Strip:  # fmt: skip
    height = canvas.height
    columns = columns_of(canvas)
    top = max(0, int((bottom - tall * 1.3) * height))
    rows = canvas.height - top
    y = f32((np.arange(top, top + rows) + 0.5) / height)
    cover = np.zeros((rows, columns), np.float32)
    fade = step(y, bottom - tall, bottom)[:, None, None] * np.float32(0.45)
    colours = np.repeat(colour + (haze - colour) * fade, columns, axis=1).astype(np.float32)
    place = -0.05
    while place * height < columns:
        wide = float(rng.uniform(0.035, 0.085)) * (1.15 - 0.15 * number)
        high = tall * float(rng.uniform(0.3, 1.0)) ** 1.3
        kind, shade, lights = rng.random(), rng.uniform(-0.05, 0.05), rng.random((40, 12), np.float32)
        left, right = int(place * height), int((place + wide) * height)
        place += wide + (0.012 if rng.random() < 0.3 else 0.0)
        if right <= 0 or left >= columns:
            continue
        begin = int((bottom - high) * height) - top
        span = slice(max(0, left), max(0, right))
        cover[max(0, begin) :, span] = 1
        colours[max(0, begin) :, span] *= np.float32(1 + shade)
        if kind < 0.3:  # a narrower top floor
            inset = (right - left) // 4
            cover[max(0, begin - int(0.03 * height)) : begin, max(0, left + inset) : max(0, right - inset)] = 1
        elif kind > 0.86:  # a mast
            middle, thick = (left + right) // 2, max(1, height // 400)
            cover[max(0, begin - int(0.06 * height)) : begin, max(0, middle) : max(0, middle + thick)] = 1
        _light(colours, palette, lights, (begin, left, right), height, bottom - top / height, number)
    return make_strip(top, cover, colours, 0.003 + 0.005 * number)


def _light(colours: Floats, palette: Palette, lights: Floats, house: tuple[int, int, int], height: int, bottom: float, number: int) -> None:  # fmt: skip
    """Windows: small rectangles in a grid, some of them lit; smaller than a pixel they are left out."""
    begin, left, right = house
    pitch_y, pitch_x = 0.017 * height * (0.75 + 0.25 * number), 0.012 * height * (0.75 + 0.25 * number)
    if pitch_x < 3:
        return
    share = (0.42 if palette.dark else 0.1) * (0.75 + 0.2 * number)
    tall, wide = max(1, int(pitch_y * 0.55)), max(1, int(pitch_x * 0.55))
    warm, cold = mix(palette.sun, np.array([1.0, 0.78, 0.42], np.float32), 0.6), palette.accent
    floors = int((bottom * height - begin) / pitch_y) - 1
    for floor in range(min(40, floors)):
        for room in range(min(12, int((right - left) / pitch_x - 0.6))):
            light = float(lights[floor, room])
            row, column = int(begin + (floor + 0.7) * pitch_y), int(left + (room + 0.55) * pitch_x)
            if light > share or row < 0 or column < 0:
                continue
            colour = mix(warm, cold, 1.0 if light < share * 0.16 else 0.0)
            window = colours[row : row + tall, column : column + wide]
            window += (colour - window) * np.float32(0.35 + 0.2 * number + 0.3 * light / share)
