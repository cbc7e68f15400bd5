"""Pictures that an order brings, in the field of the input that takes them. Pure."""

from typing import Any
from uuid import UUID

from api.dialects.openai.fields import USUAL, Translated
from common.errors import InvalidInput
from common.links import url_of
from models.catalogue.entries import Offer
from models.files import uploads

LISTS = ("images", "image_urls", "input_images", "image_input", "reference_images")  # fields that take several


def pictures_named(body: dict[str, Any]) -> list[Any]:
    """The pictures that an order in JSON names: an address, a `data:` URI or a file, one or several, as texts or in objects."""
    given = body.get("images", body.get("image"))
    several = given if isinstance(given, list) else [] if given is None else [given]
    return [picture_named(each, "image") for each in several]


def picture_named(given: Any, param: str) -> str:
    """One picture: a text, or `{image_url}` or `{file_id}`. Raises InvalidInput."""
    if isinstance(given, dict):
        found = given.get("file_id") or given.get("image_url") or given.get("url")
        given = found.get("url") if isinstance(found, dict) else found
    if not isinstance(given, str) or not given:
        raise InvalidInput(f"{param} must be a picture: an address, a data: URI, or the id of a file", param=param)
    return given


def picture_fields(offer: Offer, made: Translated, name: str, pictures: list[Any]) -> None:
    """Put pictures (texts, or the ids of uploads) where the model takes them. Raises InvalidInput where it takes none, or not so
    many.
    """
    rules = offer.entry.input_schema.get("properties", {})
    mapped = offer.entry.fields.get(name)
    single = mapped or next((each for each in USUAL[name] if each in rules), None)
    several = next((each for each in LISTS if each in rules), None) if name == "image" else None
    if single is not None and rules.get(single, {}).get("type") == "array":
        single, several = None, single
    if single is not None and (len(pictures) == 1 or several is None):
        if len(pictures) > 1:
            raise InvalidInput(f"{offer.entry.id} takes one picture; there are {len(pictures)}", param=name)
        made.values[single], made.said[single] = _written(pictures[0], is_file=single in offer.file_fields), name
    elif several is not None:
        made.values[several] = [_written(each, is_file=False) for each in pictures]
        made.said[several] = name
    else:
        raise InvalidInput(f"{offer.entry.id} takes no picture; leave {name} out", param=name)


def _written(picture: Any, *, is_file: bool) -> str:
    """A picture as an input names it: only a field that is known to be a file may name an upload by its id."""
    upload_id = picture if isinstance(picture, UUID) else uploads.id_of(str(picture))
    if upload_id is None:
        return str(picture)
    return uploads.id_text(upload_id) if is_file else url_of(upload_id)
