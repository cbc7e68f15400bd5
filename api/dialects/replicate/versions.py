"""Models and their versions as Replicate has them, and which of ours a program means. Pure, over the catalogue."""

import re
from datetime import UTC, datetime
from typing import Any

from api.catalogue import Catalogue
from common.dialects.replicate import address, model_name, version_id
from common.errors import DomainError, InvalidInput, NotFound
from models.catalogue.entries import Offer

COG_VERSION = "0.16.0"  # below 0.3.9 every list would be taken for parts of a text
VERSION = re.compile("[0-9a-f]{64}")
OLD_VERSIONS = 20  # of each model that are still known as such
UNKNOWN_SINCE = datetime(2026, 1, 1, tzinfo=UTC)

OUTPUTS: dict[str, dict[str, Any]] = {
    "image": {"title": "Output", "type": "array", "items": {"type": "string", "format": "uri"}},
    "text": {
        "title": "Output", "type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator",
        "x-cog-array-display": "concatenate",
    },
}  # fmt: skip
ONE_FILE = {"title": "Output", "type": "string", "format": "uri"}


def offer_meant(catalogue: Catalogue, given: str) -> Offer:
    """The model that `version` of an order means: a version's id, `owner/name`, or `owner/name:id`. Raises InvalidInput."""
    if VERSION.fullmatch(given):
        found = _of_version(catalogue, given)
        if found is None:
            raise InvalidInput(_unknown(catalogue, given), param="version")
        return found
    name, _, version = given.rpartition(":")
    try:
        offer = catalogue.called(name or given)
        return offer if not name else of_this_version(offer, version)
    except DomainError as error:
        raise InvalidInput(error.detail, param="version") from None


def of_this_version(offer: Offer, version: str) -> Offer:
    """The model, if this is its current version. Raises NotFound."""
    current = id_of_version(offer)
    if version == current:
        return offer
    if version in _old(offer):
        raise NotFound(_replaced(offer, version), param="version")
    raise NotFound(
        f"{model_name(offer.entry.id)} has no version {version[:70]!r}; its current one is {current}", param="version"
    )


def id_of_version(offer: Offer) -> str:
    """What the current version of a model is called."""
    return version_id(offer.entry.id, offer.version)


def _of_version(catalogue: Catalogue, given: str) -> Offer | None:
    return next((each for each in catalogue.every_offer() if id_of_version(each) == given), None)


def _unknown(catalogue: Catalogue, given: str) -> str:
    old = next((each for each in catalogue.every_offer() if given in _old(each)), None)
    if old is not None:
        return _replaced(old, given)
    return f"there is no version {given}; GET /v1/models shows the latest_version of each model"


def _old(offer: Offer) -> list[str]:
    first = max(1, offer.version - OLD_VERSIONS)
    return [version_id(offer.entry.id, number) for number in range(first, offer.version)]


def _replaced(offer: Offer, version: str) -> str:
    return (
        f"the version {version} of {model_name(offer.entry.id)} is not offered any more; its current one is "
        f"{id_of_version(offer)}"
    )


def model_shape(offer: Offer, called: str | None = None) -> dict[str, Any]:
    """A model. `called`: as it was asked for, by one of its names."""
    entry = offer.entry
    owner, _, name = (called or model_name(entry.id)).partition("/")
    return {
        "url": address(f"/models/{owner}/{name}"),
        "owner": owner,
        "name": name,
        "description": entry.description or entry.name,
        "visibility": "public",
        "is_official": True,
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "cover_image_url": None,
        "run_count": 0,
        "default_example": None,
        "latest_version": version_shape(offer),
    }


def version_shape(offer: Offer) -> dict[str, Any]:
    """The current version of a model."""
    return {
        "id": id_of_version(offer),
        "created_at": offer.created_at or UNKNOWN_SINCE,
        "cog_version": COG_VERSION,
        "openapi_schema": openapi_schema(offer),
    }


def openapi_schema(offer: Offer) -> dict[str, Any]:
    """What a model takes and brings, as programs read it."""
    content = "application/json"
    schemas: dict[str, Any] = {
        "Input": offer.entry.input_schema,
        "Output": ONE_FILE if offer.entry.outputs == "one" else OUTPUTS.get(offer.entry.kind, ONE_FILE),
        "PredictionRequest": {
            "title": "PredictionRequest", "type": "object",
            "properties": {"input": {"$ref": "#/components/schemas/Input"}, "webhook": {"type": "string", "format": "uri"}},
        },
        "PredictionResponse": {
            "title": "PredictionResponse", "type": "object",
            "properties": {
                "input": {"$ref": "#/components/schemas/Input"}, "output": {"$ref": "#/components/schemas/Output"},
                "id": {"type": "string"}, "status": {"type": "string"}, "error": {"type": "string"}, "logs": {"type": "string"},
            },
        },
    }  # fmt: skip
    post = {
        "summary": "Predict", "operationId": "predict",
        "requestBody": {"content": {content: {"schema": {"$ref": "#/components/schemas/PredictionRequest"}}}},
        "responses": {
            "200": {
                "description": "The prediction",
                "content": {content: {"schema": {"$ref": "#/components/schemas/PredictionResponse"}}},
            }
        },
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": offer.entry.name, "version": str(offer.version)},
        "paths": {"/predictions": {"post": post}},
        "components": {"schemas": schemas},
    }
