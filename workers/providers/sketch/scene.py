"""A landscape from a prompt and a seed: what there is to see, and how one frame of it is painted.

Everything random is drawn once, when the scene is made, so the same prompt, seed and VERSION paint the same bytes.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # takes part in every seed: a change of the painting is another picture, never a silent difference

Floats = NDArray[Any]  # of float32

# sky from the top to the horizon, then the far and the near colour of the ground; picked by words of the prompt.
PALETTES: dict[str, tuple[str, str, str, str, str]] = {
    "dawn": ("#2b2d5b", "#c06c84", "#f8b195", "#6c5b7b", "#1f1a38"),
    "sunset": ("#1b2a49", "#e4572e", "#ffc15e", "#7b2d43", "#1a1325"),
    "day": ("#2a6fb0", "#8cc6e7", "#fdf3d0", "#5f8fa8", "#1d3b40"),
    "night": ("#05070f", "#10203f", "#34507a", "#1c2a4a", "#04060d"),
    "forest": ("#345c6b", "#9cc5a1", "#f1f3ce", "#49796b", "#10221c"),
    "desert": ("#345995", "#f0a868", "#fbe3b5", "#c26a43", "#4a1f1a"),
    "ice": ("#355c7d", "#a8d5e5", "#f6fbff", "#7fa5bf", "#23405a"),
    "dream": ("#3a1c71", "#d76d77", "#ffaf7b", "#8e4585", "#2a0f3d"),
    "aurora": ("#020111", "#0b2b40", "#1d5a5c", "#123043", "#03080d"),
}
WORDS = {
    "dawn": "dawn morning sunrise harbour harbor spring pink",
    "sunset": "sunset evening dusk fire autumn red orange gold",
    "day": "day noon summer sky blue coast beach island lake",
    "night": "night moon dark star stars city space midnight",
    "forest": "forest wood woods tree trees green jungle valley garden",
    "desert": "desert dune dunes sand canyon mars rock",
    "ice": "ice snow winter glacier arctic frost mountain mountains",
    "dream": "dream magic fantasy purple neon future castle",
    "aurora": "aurora north northern polar lights",
}
WATER = frozenset(
    [
        "sea",
        "ocean",
        "lake",
        "harbour",
        "harbor",
        "water",
        "river",
        "coast",
        "beach",
        "island",
        "bay",
        "reflection",
        "ship",
        "boat",
    ]
)


@dataclass(frozen=True, slots=True)
class Ridge:
    """One line of hills: a sum of sines, as (frequency, phase, height), standing at `base` (0 top, 1 bottom)."""

    base: float
    waves: tuple[tuple[float, float, float], ...]
    colour: Floats
    speed: float  # how far it drifts per second, in widths: the near ones faster


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn once."""

    sky: Floats  # three colours
    ridges: tuple[Ridge, ...]
    sun: tuple[float, float, float]  # x, y, radius in heights
    sun_colour: Floats
    stars: Floats  # rows of x, y, brightness, phase
    aurora: tuple[tuple[float, float, float], ...]
    horizon: float | None  # where water begins
    clouds: tuple[tuple[float, float, float, float], ...]  # frequency, phase, height, softness


def _rgb(text: str) -> Floats:
    return np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def make_scene(prompt: str, seed: int, number: int = 0) -> Scene:
    """Decide what the picture shows."""
    digest = hashlib.sha256(f"{VERSION}|{seed}|{number}|{prompt}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    words = set("".join(c if c.isalpha() else " " for c in prompt.lower()).split())
    hits = {name: len(words & set(hints.split())) for name, hints in WORDS.items()}
    fitting = [name for name, count in hits.items() if count and count == max(hits.values())]
    name = str(rng.choice(sorted(fitting or PALETTES)))
    top, middle, low, far, near = (_rgb(colour) for colour in PALETTES[name])
    dark = name in {"night", "aurora"}
    water = bool(words & WATER) or rng.random() < 0.35
    count = int(rng.integers(3, 6))
    first, last = rng.uniform(0.46, 0.56), (0.64 if water else 0.92)
    ridges = []
    for layer in range(count):
        depth = layer / (count - 1)
        rough = rng.uniform(0.8, 1.25)
        waves = tuple(
            (float(2.0**octave * rng.uniform(0.7, 1.3) * (1.2 + depth)), float(rng.uniform(0, 6.28)),
             float(0.11 * rough * 0.52**octave * (1.1 - 0.45 * depth)))
            for octave in range(8)
        )  # fmt: skip
        colour = (far * (1 - depth) + near * depth + (low - far) * 0.25 * (1 - depth)).astype(np.float32)
        ridges.append(Ridge(first + (last - first) * depth, waves, colour, 0.004 + 0.016 * depth))
    stars = rng.random((260 if dark else 40, 4)).astype(np.float32)
    stars[:, 2] *= 1.0 if dark else 0.35
    return Scene(
        sky=np.stack([top, middle, low]),
        ridges=tuple(ridges),
        sun=(float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.18, 0.42)), float(rng.uniform(0.035, 0.075))),
        sun_colour=_rgb("#f4f1de") if dark else _rgb("#fff4d6"),
        stars=stars,
        aurora=tuple(
            (float(rng.uniform(1.5, 4)), float(rng.uniform(0, 6.28)), float(rng.uniform(0.12, 0.3))) for _ in range(3)
        )
        if name == "aurora"
        else (),
        horizon=0.68 if water else None,
        clouds=tuple(
            (float(rng.uniform(1, 5)), float(rng.uniform(0, 6.28)), float(rng.uniform(0.08, 0.4)), float(rng.uniform(0.01, 0.04)))
            for _ in range(0 if dark else int(rng.integers(2, 5)))
        ),
    )  # fmt: skip


def paint(scene: Scene, width: int, height: int, seconds: float = 0.0) -> NDArray[np.uint8]:
    """One frame, height x width x 3. `seconds` moves what moves."""
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = (np.arange(width, dtype=np.float32) / height)[None, :]
    wide = width / height
    frame = _sky(scene, y, x, wide, seconds)
    for ridge in scene.ridges:
        _ridge(frame, ridge, y, x, seconds)
    if scene.horizon is not None:
        _water(frame, scene.horizon, x, seconds)
    vignette = 1 - 0.28 * (((x / wide - 0.5) * 1.25) ** 2 + ((y - 0.5) * 1.15) ** 2)
    frame *= vignette[..., None]
    # Ordered noise of one level hides the steps of smooth skies; fixed, so the bytes stay the same.
    noise = np.random.default_rng(VERSION).random((64, 64), np.float32)
    frame *= 255
    frame += np.tile(noise, (height // 64 + 1, width // 64 + 1))[:height, :width, None]
    return np.clip(frame, 0, 255).astype(np.uint8)


def _sky(scene: Scene, y: Floats, x: Floats, wide: float, seconds: float) -> Floats:
    top, middle, low = scene.sky
    upper, lower = np.clip(y / 0.38, 0, 1), np.clip((y - 0.38) / 0.3, 0, 1)
    column = top + (middle - top) * _smooth(upper) + (low - middle) * _smooth(lower)
    frame = np.repeat(column[:, None, :], x.shape[1], axis=1).astype(np.float32)
    sun_x, sun_y, radius = scene.sun
    away = np.sqrt((x - sun_x * wide) ** 2 + (y - sun_y - 0.002 * seconds) ** 2)
    glow = 0.55 * np.exp(-away / 0.22) + 0.35 * np.exp(-away / 0.07)
    disc = np.clip((radius - away) * y.shape[0] + 0.5, 0, 1)
    light = np.clip(glow * 0.8 + disc, 0, 1)[..., None]
    frame += (scene.sun_colour - frame) * light
    _stars(frame, scene, seconds)
    for frequency, phase, size in scene.aurora:
        line = (
            0.22
            + 0.07 * np.sin(x * frequency + phase + 0.25 * seconds)
            + 0.03 * np.sin(x * frequency * 2.7 - 0.4 * seconds)
        )
        curtain = np.exp(-np.abs(y - line) / (size * 0.4)) * (0.55 + 0.45 * np.sin(x * 40 + 6 * np.sin(x * 3 + phase)))
        frame += (curtain * 0.45)[..., None] * np.array([0.25, 0.95, 0.62], np.float32)
    for frequency, phase, place, soft in scene.clouds:
        drift = x + 0.01 * seconds
        line = place + 0.03 * np.sin(drift * frequency + phase) + 0.012 * np.sin(drift * frequency * 3.1 + 2 * phase)
        veil = np.exp(-(((y - line) / soft) ** 2)) * np.clip(0.5 + np.sin(drift * frequency * 0.8 + 3 * phase), 0, 1)
        frame += (1 - frame) * (0.22 * veil)[..., None]
    return frame


def _smooth(value: Floats) -> Floats:
    smoothed: Floats = (value * value * (3 - 2 * value)).astype(np.float32)
    return smoothed


def _stars(frame: Floats, scene: Scene, seconds: float) -> None:
    height, width = frame.shape[:2]
    columns = (scene.stars[:, 0] * (width - 1)).astype(int)
    rows = (scene.stars[:, 1] * height * 0.55).astype(int)
    bright = scene.stars[:, 2] * (0.75 + 0.25 * np.sin(6.28 * scene.stars[:, 3] + 2 * seconds))
    fade = 1 - scene.stars[:, 1]
    np.add.at(frame, (rows, columns), (bright * fade)[:, None])


def _ridge(frame: Floats, ridge: Ridge, y: Floats, x: Floats, seconds: float) -> None:
    height = frame.shape[0]
    drift = x[0] + ridge.speed * seconds
    line = np.full(x.shape[1], ridge.base, np.float32)
    for frequency, phase, size in ridge.waves:
        line -= size * (1 - 2 * np.abs(np.sin(drift * frequency * 1.6 + phase))).astype(np.float32) * 0.5
    start = max(0, int(float(line.min()) * height) - 1)
    cover = np.clip((y[start:] - line[None, :]) * height + 0.5, 0, 1)
    # Mist gathers at the foot of each line of hills: that is what makes depth.
    mist = np.clip(1 - (y[start:] - line[None, :]) * 3.2, 0, 1)
    colour = ridge.colour * (0.72 + 0.28 * mist[..., None])
    frame[start:] += (colour - frame[start:]) * cover[..., None]


def _water(frame: Floats, horizon: float, x: Floats, seconds: float) -> None:
    height = frame.shape[0]
    begin = int(horizon * height)
    rows = height - begin
    if rows < 2:
        return
    depth = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    ripple = np.sin(220 * depth**0.6 + 9 * np.sin(x * 5 + seconds * 0.6) + seconds * 2.2) * (0.004 + 0.02 * depth)
    source = np.clip(begin - (depth * 0.92 * rows).astype(int) - 1 + (ripple * height).astype(int), 0, begin - 1)
    columns = np.clip(np.arange(frame.shape[1])[None, :] + (ripple * height * 0.6).astype(int), 0, frame.shape[1] - 1)
    mirrored = frame[source, columns]
    deep = np.array([0.03, 0.09, 0.14], np.float32)
    frame[begin:] = mirrored * (0.80 - 0.35 * depth)[..., None] + deep * (0.2 + 0.3 * depth)[..., None]
    frame[begin : begin + max(1, height // 300)] += 0.06
