"""How large a picture is to be, in the words of other houses: a size, a shape, a name, an object. Pure."""

import re
from collections.abc import Mapping
from math import gcd
from typing import Any

NEAR_ENOUGH = 0.02  # 1792x1024 is taken for 16:9
MOST_PIXELS = 100_000  # of a side that is a number at all
SHAPE_FIELDS = ("size", "image_size", "aspect_ratio")
# How fal calls its shapes.
NAMED_SHAPES = {
    "square_hd": (1, 1),
    "square": (1, 1),
    "portrait_4_3": (3, 4),
    "portrait_16_9": (9, 16),
    "landscape_4_3": (4, 3),
    "landscape_16_9": (16, 9),
}


def image_size(value: Any) -> tuple[int, int] | None:
    """Width and height of a text such as `1024x1536`; None for anything else."""
    found = re.fullmatch(r"([0-9]{1,6})\s*[xX*]\s*([0-9]{1,6})", value, re.ASCII) if isinstance(value, str) else None
    if found is None:
        return None
    width, height = int(found[1]), int(found[2])
    return (width, height) if 0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS else None


def fitted_size(value: Any, pixels: tuple[int, int] | None, rule: Mapping[str, Any]) -> Any:
    """What a field of one value is to hold for a size. None: it has no such size."""
    offered = rule.get("enum")
    if rule.get("type") == "object" or (pixels and "anyOf" in rule):
        return None if pixels is None else {"width": pixels[0], "height": pixels[1]}
    if not isinstance(offered, list):
        return _as_ratio(pixels) if pixels and _is_shape(rule) else value
    if value in offered:
        return value
    if pixels is None:
        return None
    written = (f"{pixels[0]}{sign}{pixels[1]}" for sign in ("x", "*", "X"))
    exact = next((each for each in written if each in offered), None)
    return exact if exact is not None else nearest_shape(*pixels, [each for each in offered if isinstance(each, str)])


def _is_shape(rule: Mapping[str, Any]) -> bool:
    """Whether a text without a list of what it may be is a shape, by what it is when nothing is said."""
    return _sides(str(rule.get("default", ""))) is not None


def _as_ratio(pixels: tuple[int, int]) -> str:
    part = gcd(*pixels)
    return f"{pixels[0] // part}:{pixels[1] // part}"


def nearest_shape(width: int, height: int, offered: list[str]) -> str | None:
    """That of some shapes, such as `16:9` or `landscape_16_9`, which a picture of this size has, exactly or nearly."""
    best, found = NEAR_ENOUGH, None
    for each in offered:
        sides = _sides(each)
        if sides is None:
            continue
        off = abs(width * sides[1] / (height * sides[0]) - 1)
        if off < best or (off == best and found is None):
            best, found = off, each
    return found


def pixels_of(values: Mapping[str, Any], area: int) -> tuple[int, int] | None:
    """Width and height of what an input calls `size`, `image_size` or `aspect_ratio`; of a shape alone, with about so many pixels.
    None: it has a width or a height of its own, or says nothing that can be read.
    """
    if values.get("width") is not None or values.get("height") is not None:
        return None
    for name in SHAPE_FIELDS:
        found = _pixels_said(values.get(name), area)
        if found is not None:
            return found
    return None


def _pixels_said(given: Any, area: int) -> tuple[int, int] | None:
    if isinstance(given, Mapping):
        return image_size(f"{given.get('width')}x{given.get('height')}")
    if not isinstance(given, str):
        return None
    shape = _sides(given)
    if shape is None:
        return image_size(given)
    width, height = shape
    high = (area * height / width) ** 0.5
    return max(16, round(high * width / height / 16) * 16), max(16, round(high / 16) * 16)


def _sides(shape: str) -> tuple[int, int] | None:
    if shape in NAMED_SHAPES:
        return NAMED_SHAPES[shape]
    found = re.fullmatch(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})", shape, re.ASCII)
    return (int(found[1]), int(found[2])) if found else None
