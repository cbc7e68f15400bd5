"""/v1/jobs/{id}/outputs: delete results, keep them. /v1/storage: what is stored."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.orders.placing import delete_own_outputs
from api.orders.told import output_view
from api.routes.callers import needs
from api.routes.cursors import PathId, id_of, whole_of
from api.routes.fast_routes import answer
from api.routes.prefix_router import PrefixRouter
from api.routes.walled import WalledRoute
from api.v1.jobs_shapes import OutputView
from common.links import url_of
from common.settings import settings
from models.access.scopes import Caller
from models.db import certain, transaction
from models.files import keeping, room
from models.files.keeping import MAX_INDEX
from models.files.room import LargeFile, StorageUse
from models.files.uploads import id_text
from models.gallery import indexing

router = PrefixRouter(prefix="/v1", tags=["files"], route_class=WalledRoute)

PathIndex = Annotated[
    str,
    Path(
        description="Its place among the job's outputs, from 0.",
        json_schema_extra={"type": "integer", "minimum": 0, "maximum": MAX_INDEX},
    ),
]


class KindUseView(BaseModel):
    """What is stored of one kind. Uploads are one of their own; of results it is what they are."""

    kind: Literal["image", "video", "speech", "text", "uploads"]
    bytes: int
    files: int


class LargeFileView(BaseModel):
    """A large file, with its thumbnail's bytes."""

    id: Annotated[str, Field(description="Of a result, or of an uploaded file.")]
    job_id: Annotated[UUID | None, Field(description="The job that it is a result of; null: it was uploaded.")]
    index: Annotated[int | None, Field(description="Its place among the job's outputs.")]
    media_type: str
    size_bytes: int
    url: str
    delete_url: Annotated[str, Field(description="Send DELETE there to be rid of it.")]
    created_at: datetime
    expires_at: Annotated[datetime | None, Field(description="Null: it is kept until it is deleted.")]


class StorageView(BaseModel):
    """What is stored, and how much may be. `expected_bytes`: what living jobs are taken to bring."""

    used_bytes: int
    expected_bytes: int
    quota_bytes: int
    kinds: list[KindUseView]
    largest: list[LargeFileView]


def storage_view(use: StorageUse) -> dict[str, Any]:
    """What an account stores, as GET /v1/storage answers."""
    return {
        **use._asdict(),
        "kinds": [each._asdict() for each in use.kinds],
        "largest": [_large(each) for each in use.largest],
    }


def _large(file: LargeFile) -> dict[str, Any]:
    path = f"/v1/jobs/{file.job_id}/outputs/{file.place}" if file.job_id else f"/v1/files/{id_text(file.id)}"
    shown = file._asdict()
    return {
        "index": shown.pop("place"),
        **shown,
        "id": str(file.id) if file.job_id else id_text(file.id),
        "url": url_of(file.id),
        "delete_url": settings().public_url + path,
    }


@router.get("/storage", response_model=StorageView, summary="Look at what is stored")
def get_storage(who: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """How much of the plan's quota is used, by what, and which files are the largest. What has expired counts until the
    next sweep, a few seconds later.
    """
    with transaction() as conn:
        return answer(storage_view(room.look(conn, who.account_id)))


@router.delete("/jobs/{job_id}/outputs", status_code=204, summary="Delete a job's results")
def delete_outputs(job_id: PathId, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """All that it still has. They are gone at once for everybody, and count as storage no more; the job stays. Again it
    changes nothing.
    """
    delete_own_outputs(id_of(job_id, "job"), who.account_id)
    return Response(status_code=204)


@router.delete("/jobs/{job_id}/outputs/{index}", status_code=204, summary="Delete a result")
def delete_output(job_id: PathId, index: PathIndex, who: Annotated[Caller, Depends(needs("delete"))]) -> Response:
    """Gone at once for everybody: its address answers 410. Again, or of one that has expired, it changes nothing."""
    wanted, place = id_of(job_id, "job"), whole_of(index, "index", least=0, most=MAX_INDEX)
    with certain() as conn:
        keeping.delete(conn, who.account_id, wanted, place)
        indexing.forget_deleted(conn, wanted)
    return Response(status_code=204)


@router.post(
    "/jobs/{job_id}/outputs/{index}/keep", response_model=OutputView, summary="Keep a result past its plan's time"
)
def keep_output(job_id: PathId, index: PathIndex, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """Until it is deleted, or left to its time again. It goes on counting as storage; an account over its quota keeps
    nothing more. Again it changes nothing.
    """
    wanted, place = id_of(job_id, "job"), whole_of(index, "index", least=0, most=MAX_INDEX)
    with certain() as conn:
        kept = keeping.keep(conn, who.account_id, wanted, place)
    return answer(output_view(kept))


@router.delete(
    "/jobs/{job_id}/outputs/{index}/keep", response_model=OutputView, summary="Leave a kept result to its time again"
)
def let_output_go(job_id: PathId, index: PathIndex, who: Annotated[Caller, Depends(needs("write"))]) -> Response:
    """It expires when its plan said, and not sooner than `UNKEPT_HOURS` (24) from now. Again it changes nothing."""
    wanted, place = id_of(job_id, "job"), whole_of(index, "index", least=0, most=MAX_INDEX)
    with certain() as conn:
        left = keeping.let_go(conn, who.account_id, wanted, place)
    return answer(output_view(left))
