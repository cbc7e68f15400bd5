"""Trying a model: a form made from its schema, the price first, the order, and the same request by program."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import IO, Annotated, Any, NamedTuple
from uuid import UUID, uuid4

from fastapi import Depends
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.account.input_forms import PREFIX, UPLOAD, InputField, fields_of, filled, input_of
from api.account.own_jobs import own_job, shown_job, texts_of
from api.account.site import ACCOUNT_SITE, Looking, Ordering
from api.account.snippets import Snippet, snippets_of
from api.edge.texts import check_form
from api.intake.receiving import create_upload, in_thread, room_on_disk, same_as
from api.orders.quoting import quoted
from api.routes.cursors import id_of
from api.services import Services, services
from api.sites.forms import MAX_ONCE
from api.sites.rendering import SitePage
from api.sites.routing import FORM, MAX_FIELDS, Fields, PageRoute, Posted, page_in
from api.sites.signing import site_router
from api.v1.models import MODELS, model_view
from common.errors import DomainError, InvalidInput, RateLimited
from common.settings import settings
from models.access import scopes
from models.catalogue.entries import Offer
from models.files.uploads import NewUpload, id_text
from models.jobs.admission import Order, body_hash
from models.jobs.reads import JobRow

MAX_FILES = 8
PART_BYTES = 65_536  # of one text in a form with files
READ_BYTES = 256 * 1024
SHOWN_MODELS = 100
SIGN_CHARACTERS = 24


class TryRoute(PageRoute):
    """A page that waits for others while it is written: no thread is held meanwhile."""

    site = ACCOUNT_SITE


class UploadRoute(TryRoute):
    """A form with files. Room is taken before its first byte is read, as for POST /v1/files."""

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[None]:
        kind = request.headers.get("content-type", "").lower()
        if not kind.startswith("multipart/form-data"):
            raise InvalidInput("this form has files: it is sent as multipart/form-data", param="body")
        async with services(request.app).rooms.of_form(request, page_in(request).who.account_id):
            with room_on_disk():
                async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=PART_BYTES) as form:
                    check_form(form)
                    request.scope[FORM] = {key: value for key, value in form.multi_items() if isinstance(value, str)}
                    request.scope[FILES] = {
                        key: value
                        for key, value in form.multi_items()
                        if isinstance(value, UploadFile) and value.filename
                    }
                    yield


FILES = "headrace.files"
router, upload_router = site_router(TryRoute), site_router(UploadRoute)


async def files_of(request: Request) -> dict[str, UploadFile]:
    """A dependency: the files of a form."""
    found: dict[str, UploadFile] = request.scope[FILES]
    return found


class Bench(NamedTuple):
    """What the page of a model shows."""

    offer: Offer
    fields: list[InputField]
    values: dict[str, Any] | None = None  # of the form, once they are good
    price: Mapping[str, Any] | None = None
    refused: DomainError | None = None
    job: JobRow | None = None
    looked: bool = False  # somebody ordered what they had not seen the price of


@router.get("/try")
async def show_models_to_try(page: Looking, request: Request) -> Response:
    """The models; with `model`, its form; with `job`, the form of that job's input, and what became of it."""
    here, given = services(request.app), request.query_params
    if given.get("job"):
        row = await _off(here, page, partial(own_job, page.who.account_id, id_of(given["job"], "job")))
        offer = here.catalogue.named(row.model_id)
        return await _show(
            page, request, Bench(offer, fields_of(offer.entry.input_schema, row.input), row.input, job=row)
        )
    if given.get("model"):
        offer = here.catalogue.named(given["model"][:100])
        return await _show(page, request, Bench(offer, fields_of(offer.entry.input_schema)))
    cursor = given.get("cursor")
    after = None if cursor is None else MODELS.place_of(cursor)
    shown, last = _models(here, after)
    return page.show(
        "models.html", models=shown, newest=ACCOUNT_SITE.link("/try") if cursor else None,
        following=ACCOUNT_SITE.link("/try", cursor=MODELS.cursor_of(last)) if last else None,
    )  # fmt: skip


def _models(here: Services, after: str | None) -> tuple[list[dict[str, Any]], str | None]:
    offers, last = here.catalogue.offers(after, SHOWN_MODELS)
    return [model_view(each) for each in offers], last


@router.post("/try/price")
async def show_price(page: Looking, request: Request, fields: Posted) -> Response:
    """The form again, with what it would cost. Nothing is ordered."""
    bench = await _judged(page, request, fields)
    return await _show(page, request, bench, status=bench.refused.status if bench.refused else 200)


@router.post("/try")
async def order_tried(page: Ordering, request: Request, fields: Posted) -> Response:
    """Order it, at the price that was seen; the same form again leads to the same job."""
    bench = await _judged(page, request, fields)
    if bench.refused is not None:
        return await _show(page, request, bench, status=bench.refused.status)
    if fields.get("seen", "") != sign_of(bench):
        return await _show(page, request, bench._replace(looked=True))
    done = await _ordered_or_refused(page, request, bench, fields.get("once", "")[:MAX_ONCE])
    if isinstance(done, UUID):
        return page.to(ACCOUNT_SITE.link("/try", job=done))
    return await _show(page, request, done, status=done.refused.status if done.refused else 200)


@upload_router.post("/try/upload")
async def take_files(
    page: Ordering, request: Request, fields: Posted, files: Annotated[dict[str, UploadFile], Depends(files_of)]
) -> Response:
    """Keep the files of the form, and show it again with their ids."""
    here, offer = services(request.app), services(request.app).catalogue.named(fields.get("model", "")[:100])
    bench, said = Bench(offer, fields_of(offer.entry.input_schema)), dict(fields)
    try:
        for field, wanted in offer.file_fields.items():
            file = files.get(UPLOAD + field)
            if file is not None:
                said[PREFIX + field] = await _kept(here, page, f"input.{field}", wanted, file.file)
    except DomainError as error:
        bench = _refused(bench, error)
    shown = bench._replace(fields=filled(bench.fields, said))
    return await _show(page, request, shown, status=shown.refused.status if shown.refused else 200)


async def _kept(here: Services, page: SitePage, param: str, wanted: str, file: IO[bytes]) -> str:
    own = page.who.account_id
    found = await in_thread(
        here.places.uploads, _pieces(file), own, param=param, wanted=wanted, known=partial(same_as, own, wanted, param)
    )
    if isinstance(found, NewUpload):
        found = await here.wall.run(own, partial(here.places.ordinary.run, partial(create_upload, found)))
    return id_text(found.id)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(READ_BYTES):
        yield piece


async def _judged(page: SitePage, request: Request, fields: Fields) -> Bench:
    """The form as somebody has filled it in: with its price, or with what is wrong."""
    here = services(request.app)
    offer = here.catalogue.named(fields.get("model", "")[:100])
    bench = Bench(offer, fields_of(offer.entry.input_schema))
    bench = bench._replace(fields=filled(bench.fields, fields))
    try:
        values = input_of(bench.fields, fields)
        price = await _off(here, page, partial(quoted, page.who, offer, offer.checked(values)))
    except DomainError as error:
        return _refused(bench, error)
    return bench._replace(values=values, price=price)


def _refused(bench: Bench, error: DomainError) -> Bench:
    """What can be said at the form. What passes by itself is a page of its own."""
    if error.status >= 500 or isinstance(error, RateLimited):
        raise error
    return bench._replace(refused=error)


def sign_of(bench: Bench) -> str:
    """What the price was said of, and what it was: an order without it shows the price first. It is no secret."""
    credits = bench.price["credits"] if bench.price else None
    asked = {"model": bench.offer.entry.id, "version": bench.offer.version, "input": bench.values, "credits": credits}
    return body_hash(asked).hex()[:SIGN_CHARACTERS]


async def _ordered_or_refused(page: SitePage, request: Request, bench: Bench, once: str) -> UUID | Bench:
    try:
        return await _ordered(page, request, bench, once)
    except DomainError as error:
        return _refused(bench, error)


async def _ordered(page: SitePage, request: Request, bench: Bench, once: str) -> UUID:
    """Order by the verb that POST /v1/jobs calls, once for each time that the form was shown."""
    here, offer, who = services(request.app), bench.offer, page.who
    scopes.check_model(who, offer.entry.id)
    values = await here.inputs.accept(who.account_id, offer, offer.checked(bench.values or {}))
    accepted = await here.intake.submit(
        Order(
            uuid7(), who.account_id, offer, values, api_key_id=who.key_id, key_budget=who.monthly_credits,
            idempotency_key=f"account {once}" if once else None,
            body_hash=body_hash({"model": offer.entry.id, "input": bench.values}) if once else b"",
        )
    )  # fmt: skip
    return accepted.job_id


async def _off(here: Services, page: SitePage, work: Any) -> Any:
    """Work that asks the database, behind the wall between tenants."""
    return await here.wall.run(page.who.account_id, partial(here.places.ordinary.run, work))


async def _show(page: SitePage, request: Request, bench: Bench, *, status: int = 200) -> Response:
    once, here = uuid4().hex, services(request.app)
    snippets = list[Snippet]()
    if bench.values is not None:
        snippets = snippets_of(settings().public_url.rstrip("/"), bench.offer.entry.id, bench.values, f"order-{once}")
    texts = {}
    if bench.job is not None:
        texts = await _off(here, page, partial(texts_of, shown_job(bench.job)))
    wrong = (bench.refused.param or "") if bench.refused else ""
    names = [each.name for each in bench.fields]
    at = next((each for each in names if wrong == f"input.{each}" or wrong.startswith(f"input.{each}.")), None)
    return page.show(
        "try.html", status, bench=bench, model=model_view(bench.offer), fields=bench.fields, price=bench.price,
        refused=bench.refused, wrong_at=at, once=once, seen=sign_of(bench) if bench.price else "", snippets=snippets,
        job=shown_job(bench.job) if bench.job else None, texts=texts, in_=PREFIX, up=UPLOAD,
        may_order="generate" in page.who.scopes,
    )  # fmt: skip
