"""OpenAI's fields as a model's input: by what the catalogue says, else by what is usual; refused by their own names."""

from typing import Any

import pytest

from api.dialects.openai.fields import Translated, named_as_said, translated
from api.dialects.openai.pictures import picture_fields, pictures_named
from api.dialects.openai.speech import speech_fields
from common.errors import InvalidInput
from common.picture_shapes import image_size, nearest_shape
from models.catalogue.entries import Entry, Offer

INTEGER, TEXT, NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}
RATIOS = {"type": "string", "enum": ["1:1", "16:9", "9:16", "2:3", "3:2"]}


def entry(fields: dict[str, str] | None = None, **properties: Any) -> Entry:
    """A model whose input has these properties."""
    return Entry.model_validate(
        {
            "id": "one", "name": "One", "kind": "image", "price": {"unit": "job", "credits": 1}, "fields": fields or {},
            "routes": [{"provider": "sketch", "model": "image"}],
            "input_schema": {"type": "object", "additionalProperties": False, "properties": {"prompt": TEXT, **properties}},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("properties", "given", "values"),
    [
        ({"count": INTEGER}, {"n": 2}, {"count": 2}),
        ({"num_images": INTEGER}, {"n": "3"}, {"num_images": 3}),  # a form has texts alone
        ({}, {"n": 1}, {}),
        ({}, {"n": "1"}, {}),
        ({"width": INTEGER, "height": INTEGER}, {"size": "1024x1536"}, {"width": 1024, "height": 1536}),
        ({"size": TEXT}, {"size": "1024x1024"}, {"size": "1024x1024"}),
        ({"size": {"enum": ["1024*1024"]}}, {"size": "1024x1024"}, {"size": "1024*1024"}),
        ({"aspect_ratio": RATIOS}, {"size": "1792x1024"}, {"aspect_ratio": "16:9"}),
        ({"aspect_ratio": RATIOS}, {"size": "1024x1536"}, {"aspect_ratio": "2:3"}),
        ({"aspect_ratio": RATIOS}, {"size": "16:9"}, {"aspect_ratio": "16:9"}),
        ({"image_size": {"type": "object"}}, {"size": "64x32"}, {"image_size": {"width": 64, "height": 32}}),
        ({"image_size": {"enum": ["square_hd", "landscape_16_9"]}}, {"size": "1280x720"}, {"image_size": "landscape_16_9"}),
        ({}, {"size": "auto", "quality": "high", "style": "vivid", "user": "u", "moderation": "low", "background": "opaque"}, {}),
        ({"quality": TEXT}, {"quality": "high"}, {"quality": "high"}),
        ({"format": {"enum": ["jpg", "png"]}}, {"output_format": "jpeg"}, {"format": "jpg"}),
        ({"duration": INTEGER}, {"seconds": "8"}, {"duration": 8}),
        ({"seconds": {"type": "string"}}, {"seconds": 8}, {"seconds": "8"}),
        ({"seed": INTEGER, "cfg": NUMBER, "tiled": {"type": "boolean"}}, {"seed": "7", "cfg": "1.5", "tiled": "true"}, {"seed": 7, "cfg": 1.5, "tiled": True}),
        ({"seed": INTEGER}, {"seed": 7.0, "nobody_knows": 1, "prompt": None}, {"seed": 7}),
        ({"speed": {**INTEGER, "default": 165, "minimum": 80}}, {"speed": 2}, {"speed": 330}),
        ({"speed": NUMBER}, {"speed": 0.5}, {"speed": 0.5}),
        ({"voice": {**TEXT, "pattern": "^[a-z]{2}$"}}, {"voice": "alloy"}, {}),
        ({"voice": {**TEXT, "enum": ["alloy"]}}, {"voice": {"id": "alloy"}}, {"voice": "alloy"}),
        ({"voice": TEXT}, {"voice": "nova"}, {"voice": "nova"}),
    ],
)  # fmt: skip
def test_fields_become_an_input(properties: dict[str, Any], given: dict[str, Any], values: dict[str, Any]) -> None:
    assert translated(entry(**properties), given).values == values


@pytest.mark.parametrize(
    ("properties", "given", "param"),
    [
        ({}, {"n": 2}, "n"), ({}, {"n": 0}, "n"), ({}, {"size": "64x64"}, "size"), ({}, {"seconds": "4"}, "seconds"), ({}, {"mask": "x"}, "mask"),
        ({}, {"output_format": "png"}, "output_format"), ({}, {"background": "transparent"}, "background"), ({}, {"svg": {}}, "svg"),
        ({"width": INTEGER, "height": INTEGER}, {"size": "large"}, "size"), ({"width": INTEGER, "height": INTEGER}, {"size": 64}, "size"),
        ({"aspect_ratio": RATIOS}, {"size": "1000x333"}, "size"), ({"image_size": {"type": "object"}}, {"size": "big"}, "size"),
        ({"speed": NUMBER}, {"speed": "fast"}, "speed"), ({"speed": NUMBER}, {"speed": 5}, "speed"), ({"speed": NUMBER}, {"speed": True}, "speed"),
        ({"voice": TEXT}, {"voice": 7}, "voice"), ({"voice": TEXT}, {"voice": {}}, "voice"),
    ],
)  # fmt: skip
def test_what_would_be_something_else_is_refused(properties: dict[str, Any], given: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        translated(entry(**properties), given)
    assert refused.value.param == param


def test_what_the_catalogue_says_goes_before_what_is_usual() -> None:
    model = entry(
        {"n": "pictures", "size": "shape", "quality": "steps"},
        pictures=INTEGER,
        count=INTEGER,
        shape=TEXT,
        steps=INTEGER,
    )
    made = translated(model, {"n": 2, "size": "64x64", "quality": "9"})
    assert made.values == {"pictures": 2, "shape": "64x64", "steps": 9}
    assert made.said["steps"] == "quality"


def test_what_is_wrong_is_said_in_the_words_of_the_order() -> None:
    made = Translated({"count": 9}, {"count": "n"})
    assert named_as_said(made, "input.count", "input.count is 9; the limit is 8") == ("n", "n is 9; the limit is 8")
    assert named_as_said(made, "input.width", "input.width is 9")[0] == "size"
    assert named_as_said(made, "input.seed", "input.seed is wrong")[0] == "seed"


@pytest.mark.parametrize("text", ["", "x", "1x", "0x1", "1024", "1024x1024x3", "-1x1", "1e3x1e3", "٣x٣", "9999999x1"])
def test_what_is_no_size_is_none(text: str) -> None:
    assert image_size(text) is None


def test_a_shape_is_exact_or_nearly_so() -> None:
    assert nearest_shape(1344, 768, ["16:9", "7:4", "1:1"]) == "7:4"
    assert nearest_shape(1000, 333, ["16:9", "1:1"]) is None
    assert nearest_shape(10, 10, ["auto", "0:1", "1:1"]) == "1:1"


def test_pictures_go_where_the_model_takes_them() -> None:
    one, several = {"type": "string", "format": "image"}, {"type": "array", "items": TEXT}
    for properties, pictures, field in (
        ({"input_image": one}, ["https://a/b"], "input_image"), ({"image_urls": several}, ["https://a/b", "https://a/c"], "image_urls"),
        ({"image": several}, ["https://a/b"], "image"), ({"image": one, "images": several}, ["https://a/b", "https://a/c"], "images"),
    ):  # fmt: skip
        made = Translated({}, {})
        picture_fields(Offer(entry(**properties), 1), made, "image", pictures)
        assert list(made.said.items()) == [(field, "image")]
    for properties, pictures in (({}, ["https://a/b"]), ({"image": one}, ["https://a/b", "https://a/c"])):
        with pytest.raises(InvalidInput):
            picture_fields(Offer(entry(**properties), 1), Translated({}, {}), "image", pictures)
    assert pictures_named({"images": [{"image_url": "u"}, {"file_id": "f"}, {"image_url": {"url": "v"}}]}) == [
        "u",
        "f",
        "v",
    ]
    for wrong in ({"image": 7}, {"images": [{}]}, {"image": {"image_url": {}}}):
        with pytest.raises(InvalidInput):
            pictures_named(wrong)


def test_speech_has_the_formats_that_it_is_made_in() -> None:
    assert speech_fields(entry(), {"response_format": "wav", "model": "x"}) == {}
    assert speech_fields(entry(format=TEXT), {"response_format": "mp3"}) == {"response_format": "mp3"}
    for wrong in ("mp3", "pcm", 7, ["wav"]):
        with pytest.raises(InvalidInput):
            speech_fields(entry(), {"response_format": wrong})
