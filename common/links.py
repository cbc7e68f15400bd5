"""Permanent addresses of results: an asset's id with a signature. The API answers them, webhooks carry them."""

from uuid import UUID

from common.settings import settings
from common.tokens import FILE, body_of, make_token

SMALL = "thumbnail=1"  # the query of a thumbnail's address


def token_of(asset_id: UUID) -> str:
    """The unguessable name of a result, 43 characters."""
    return make_token(FILE, asset_id.bytes)


def named_by(token: str) -> UUID | None:
    """The result that a token names; None: we did not make it."""
    body = body_of(FILE, token)
    return None if body is None else UUID(bytes=body)


def url_of(asset_id: UUID, *, thumbnail: bool = False) -> str:
    """The permanent address of a result, or of its thumbnail."""
    origin = settings().cdn_url or settings().public_url
    return f"{origin}/files/{token_of(asset_id)}{f'?{SMALL}' if thumbnail else ''}"


def named_at(address: str) -> UUID | None:
    """The result or upload whose permanent address this is, whole and without a query; None: it is no address of ours."""
    for origin in {settings().public_url, settings().cdn_url or settings().public_url}:
        if address.startswith(f"{origin}/files/"):
            return named_by(address.removeprefix(f"{origin}/files/"))
    return None
