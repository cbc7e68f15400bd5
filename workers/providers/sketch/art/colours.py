"""Which words of a prompt ask for what, and the colours of each mood."""

from dataclasses import dataclass

import numpy as np

from workers.providers.sketch.art.noise import Floats, f32


def rgb(text: str) -> Floats:
    """Three floats between 0 and 1 from "#rrggbb"."""
    return np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def mix(one: Floats, other: Floats, part: float) -> Floats:
    """`one` at part 0, `other` at part 1."""
    return (one + (other - one) * np.float32(part)).astype(np.float32)


def vivid(colour: Floats, more: float) -> Floats:
    """The same colour with more saturation, as light through glass has."""
    grey = colour.mean()
    return f32(np.clip(grey + (colour - grey) * np.float32(more), 0, 1))


def ramp(colours: list[Floats], count: int = 1024) -> Floats:
    """A smooth table of `count` colours through the given ones."""
    places = np.linspace(0, 1, len(colours))
    at = np.linspace(0, 1, count)
    return np.stack([np.interp(at, places, [c[i] for c in colours]) for i in range(3)], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Palette:
    """Sky from the top to the horizon, the far and the near ground, the sun's colour, and a second accent."""

    top: Floats
    middle: Floats
    low: Floats
    far: Floats
    near: Floats
    sun: Floats
    accent: Floats
    dark: bool = False  # stars and a moon


MOODS: dict[str, tuple[str, ...]] = {
    "dawn": (
        "#3b3a78 #c9799a #ffd2b0 #8c6f94 #231c3d #fff1d6 #f3a6a0",
        "#35506f #9fa8c9 #ffdcc4 #7e88a8 #1f2a3f #fff6e6 #ffb8a0",
    ),
    "sunset": (
        "#22264f #d9513c #ffc25c #86354d #1b1226 #fff0c4 #ff8a4a",
        "#2c1b4b #b8336a #ff9b54 #6d2e5b #180f24 #ffe9c2 #ff5d6c",
    ),
    "day": (
        "#1f6fb8 #7fc0ea #f4f3dc #6f97ad #17404a #fffbe6 #ffffff",
        "#3a7bd5 #8fd3f4 #eafaf1 #7fa99b #1e4d3c #fffdf0 #fff3d9",
    ),
    "night": (
        "#040712 #0d1d3e #35548a #1d2f57 #04070f #f4f0dc #6f8fd0",
        "#080517 #1a1745 #4a4a92 #282456 #05040f #efe9ff #9a86e0",
    ),
    "forest": (
        "#3f6f78 #a5c8a9 #f3f0cd #5f8f7c #0f231c #fffbe0 #d7e8a0",
        "#5b6f73 #b9c5b4 #f6ead2 #71857a #18241f #fff4dc #e6c98f",
    ),
    "desert": (
        "#2f6aa8 #f0b27a #fde9c4 #d07f4c #5a241b #fff6da #ffcf8a",
        "#5d3a72 #e58a6b #ffd9a0 #b85c46 #3f1a26 #fff0cf #ff9e6b",
    ),
    "ice": (
        "#2f5f8f #9fcbe4 #f4fafd #8fb2ca #1f3c5a #ffffff #d9f1ff",
        "#4b4f8c #b4b8e0 #fbe9f0 #9aa0c8 #2a2e5a #fffafc #ffd6e4",
    ),
    "dream": (
        "#3a1c71 #d76d77 #ffbf8a #96508f #260d3a #fff3dd #ff8fc7",
        "#12325f #7a5bc7 #ffb3d9 #6a5aa8 #171236 #fff0fa #7ff0e6",
    ),
    "neon": (
        "#0b0224 #3d0f6b #ff4fa3 #3b1a78 #0a0318 #ffe07a #2de2e6",
        "#02111f #0c3a63 #19c3c9 #123a6a #030b18 #ff6ec7 #ff9f45",
    ),
    "aurora": (
        "#02030f #0a2440 #1f5f66 #173a4d #03070d #eef6ff #3dffb0",
        "#050316 #181b4b #3a4f86 #222a5c #04040f #f4f0ff #8affd0",
    ),
}
DARK = frozenset({"night", "aurora", "neon"})

MOOD_WORDS = {
    "dawn": "dawn morning sunrise harbour harbor spring pink early fog",
    "sunset": "sunset evening dusk fire autumn red orange gold golden warm volcano",
    "day": "day noon summer sky blue coast beach island sunny bright",
    "night": "night moon dark star stars midnight moonlight black",
    "forest": "forest wood woods tree trees green jungle valley garden park",
    "desert": "desert dune dunes sand canyon mars rock sahara",
    "ice": "ice snow winter glacier arctic frost cold alps",
    "dream": "dream dreams magic fantasy purple castle surreal silk",
    "neon": "neon cyberpunk synthwave future futuristic electric retro cyber",
    "aurora": "aurora north northern polar borealis",
}
STYLE_WORDS = {
    "mountains": "mountain mountains hill hills peak peaks alps valley canyon landscape volcano lights aurora snow glacier",
    "forest": "forest wood woods tree trees jungle pine pines taiga park",
    "city": "city town skyline street skyscraper cyberpunk tokyo manhattan urban building buildings",
    "dunes": "desert dune dunes sand sahara",
    "cosmos": "space galaxy nebula planet planets cosmos universe cosmic star stars astronaut saturn orbit",
    "silk": "abstract flow silk ink marble fluid wave waves music smoke paint idea ideas energy texture pattern",
    "glass": "glass mosaic cathedral window crystal gem jewel tiles kaleidoscope stained butterfly",
}
WATER_WORDS = "sea ocean lake harbour harbor water river coast beach island bay reflection ship boat shore fjord canal"


def words_of(prompt: str) -> frozenset[str]:
    """The prompt's words in small letters."""
    return frozenset("".join(c if c.isalpha() else " " for c in prompt.lower()).split())


def fitting(words: frozenset[str], table: dict[str, str]) -> list[str]:
    """The names of a table that most of the words ask for; none where no word does."""
    hits = {name: len(words & set(hints.split())) for name, hints in table.items()}
    best = max(hits.values())
    return [name for name, count in hits.items() if best and count == best]


def choose_palette(mood: str, rng: np.random.Generator) -> Palette:
    """One of a mood's palettes, a little off, so that two pictures of one mood are never quite alike."""
    colours = [rgb(colour) for colour in str(rng.choice(list(MOODS[mood]))).split()]
    tint = rng.uniform(0.93, 1.07, 3).astype(np.float32)
    top, middle, low, far, near, sun, accent = (np.clip(colour * tint, 0, 1).astype(np.float32) for colour in colours)
    return Palette(top, middle, low, far, near, sun, accent, mood in DARK)
