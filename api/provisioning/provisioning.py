"""/api/provisioning: the web client's credentials at providers, and its reports of what was used there."""

from typing import Any

import orjson
from starlette.responses import Response

from api.provisioning.door import ProvisioningRoute
from api.provisioning.shapes import (
    MAX_METADATA_BYTES,
    CredentialList,
    FindCredential,
    FoundCredential,
    ListCredentials,
    ListUsage,
    OneUsage,
    RecordUsage,
    RevokeCredential,
    RotateCredential,
    RotatedCredential,
    SaveCredential,
    UsageList,
    WebCredentialView,
    YesOrNo,
    milliseconds_of,
    moment_of,
)
from api.routes.cursors import Listing, moment_and_id_of, moment_and_id_text
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from common.errors import BodyTooLarge
from models.db import certain, transaction
from models.jobs.admission import body_hash
from models.provisioning import credentials, usage
from models.provisioning.credentials import Credential, NewCredential
from models.provisioning.usage import TokenReport, Usage

router = PrefixRouter(prefix="/api/provisioning", tags=["web client"], route_class=ProvisioningRoute)


CREDENTIALS = Listing("web-credentials", moment_and_id_of, moment_and_id_text)
USAGE = Listing("web-usage", moment_and_id_of, moment_and_id_text)


@router.post("/saveCredential", response_model=YesOrNo, summary="Keep a credential")
def save_credential(body: SaveCredential) -> Response:
    """The same again is kept once. Another one with the same id is 422 `id_taken`."""
    new = _new(body.record)
    with certain() as conn:
        credentials.save(conn, new, body_hash(body.record.model_dump(mode="json", exclude_none=True)))
    return answer({"result": True})


@router.post("/findActiveCredential", response_model=FoundCredential, summary="Find the credential that holds")
def find_active_credential(body: FindCredential) -> Response:
    """The newest that is `active` and has not expired; null: there is none."""
    with transaction() as conn:
        found = credentials.find_active(conn, body.user_id, body.provider)
    return answer({"credential": None if found is None else _credential(found)})


@router.post("/markCredentialRevoked", response_model=YesOrNo, summary="Revoke a credential")
def mark_credential_revoked(body: RevokeCredential) -> Response:
    """For good. False: there is none with this id."""
    with certain() as conn:
        known = credentials.revoke(conn, body.credential_id)
    return answer({"result": known})


@router.post("/rotateCredential", response_model=RotatedCredential, summary="Give a credential another token")
def rotate_credential(body: RotateCredential) -> Response:
    """The token before is good no longer. One that is revoked or has expired is 400 `credential_ended`."""
    ends = None if body.expires_at is None else moment_of(body.expires_at)
    with certain() as conn:
        found = credentials.rotate(conn, body.credential_id, body.token_hash, body.salt, ends)
    return answer({"credential": _credential(found)})


@router.post("/listCredentials", response_model=CredentialList, summary="List all credentials")
def list_credentials(body: ListCredentials) -> Response:
    """Of all users, the newest first."""
    after = None if body.cursor is None else CREDENTIALS.place_of(body.cursor)
    with transaction() as conn:
        found = credentials.list_credentials(conn, body.limit + 1, after)
    shown: dict[str, Any] = {"credentials": [_credential(each) for each in found[: body.limit]]}
    if len(found) > body.limit:
        last = found[body.limit - 1]
        shown["next"] = CREDENTIALS.cursor_of((last.wanted.issued_at, last.row_id))
    return answer(shown)


@router.post("/recordUsage", response_model=OneUsage, summary="Report usage")
def record_provider_usage(body: RecordUsage) -> Response:
    """With an `id` it counts once, however often it is sent. Another report with the same id is 422 `id_taken`."""
    said = body.entry
    report = TokenReport(
        said.user_id, said.provider, said.tokens_used, said.cost_minor_units, moment_of(said.recorded_at)
    )
    with certain() as conn:
        kept = usage.record(conn, report, said.id)
    return answer({"usage": _usage(kept)})


@router.post("/listUsage", response_model=UsageList, summary="List a user's usage")
def list_provider_usage(body: ListUsage) -> Response:
    """The newest first."""
    after = None if body.cursor is None else USAGE.place_of(body.cursor)
    with transaction() as conn:
        found = usage.list_usage(conn, body.user_id, body.limit + 1, after)
    shown: dict[str, Any] = {"usage": [_usage(each) for each in found[: body.limit]]}
    if len(found) > body.limit:
        last = found[body.limit - 1]
        shown["next"] = USAGE.cursor_of((last.report.recorded_at, last.row_id))
    return answer(shown)


def _new(record: WebCredentialView) -> NewCredential:
    size = 0 if record.metadata is None else len(orjson.dumps(record.metadata))
    if size > MAX_METADATA_BYTES:
        raise BodyTooLarge(
            f"the metadata has {size} bytes; the limit is {MAX_METADATA_BYTES}",
            param="record.metadata", limit=MAX_METADATA_BYTES, size=size,
        )  # fmt: skip
    rotated = record.last_rotated_at
    return NewCredential(
        record.id, record.user_id, record.provider, record.token_hash, record.salt, record.scopes, record.plan_tier,
        moment_of(record.issued_at), moment_of(record.expires_at), record.status, record.provider_reference,
        record.metadata, None if rotated is None else moment_of(rotated),
    )  # fmt: skip


def _credential(found: Credential) -> dict[str, Any]:
    said = found.wanted
    rotated = said.last_rotated_at
    optional = {
        "providerReference": said.provider_reference, "metadata": said.metadata,
        "lastRotatedAt": None if rotated is None else milliseconds_of(rotated),
    }  # fmt: skip
    return {
        "id": said.id, "userId": said.user_id, "provider": said.provider, "tokenHash": said.token_hash, "salt": said.salt,
        "scopes": said.scopes, "planTier": said.plan, "issuedAt": milliseconds_of(said.issued_at),
        "expiresAt": milliseconds_of(said.expires_at), "status": said.status,
        **{name: value for name, value in optional.items() if value is not None},
    }  # fmt: skip


def _usage(kept: Usage) -> dict[str, Any]:
    said = kept.report
    return {
        "id": kept.id, "userId": said.user_id, "provider": said.provider, "tokensUsed": said.tokens_used,
        "costMinorUnits": said.cost_minor_units, "recordedAt": milliseconds_of(said.recorded_at),
    }  # fmt: skip
