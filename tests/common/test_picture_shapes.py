"""How large a picture is to be, in the words of other houses."""

from typing import Any

import pytest

from common.picture_shapes import pixels_of

AREA = 768 * 768


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None), ({"width": 64, "aspect_ratio": "1:1"}, None), ({"aspect_ratio": "custom"}, None), ({"image_size": 7}, None),
        ({"size": "640x320"}, (640, 320)), ({"image_size": {"width": 96, "height": 64}}, (96, 64)),
        ({"image_size": {"width": True, "height": 64}}, None), ({"image_size": {"width": 96}}, None),
        ({"aspect_ratio": "1:1"}, (768, 768)), ({"aspect_ratio": "16:9"}, (1024, 576)), ({"image_size": "portrait_16_9"}, (576, 1024)),
        ({"image_size": "square_hd"}, (768, 768)), ({"aspect_ratio": None, "size": "auto"}, None),
    ],
)  # fmt: skip
def test_a_size_is_read_in_whatever_words(given: dict[str, Any], found: tuple[int, int] | None) -> None:
    assert pixels_of(given, AREA) == found


@pytest.mark.parametrize("shape", ["99:1", "1:99", "1:1", "3:2", "21:9"])
def test_a_shape_has_about_so_many_pixels(shape: str) -> None:
    width, height = pixels_of({"aspect_ratio": shape}, AREA) or (0, 0)
    assert width % 16 == height % 16 == 0
    assert 0.75 < width * height / AREA < 1.25
