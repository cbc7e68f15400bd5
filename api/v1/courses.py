"""/v1/courses: what can be learned, and how editors make it."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api.auth.keyring import by
from api.routes.callers import needs
from api.routes.cursors import Listing, PathId, WantedPage, id_of
from api.routes.fast_routes import answer
from api.routes.once import RepeatKey, asked, once
from api.routes.prefix_router import PrefixRouter
from api.routes.versions import IfMatch, etag_of, version_of
from api.routes.walled import WalledRoute
from api.v1.courses_shapes import (
    CourseChange,
    CourseOrder,
    CourseOutline,
    CoursePage,
    CourseView,
    LessonView,
    Level,
    ModuleChange,
    ModuleView,
    NewCourse,
    NewLesson,
    NewModule,
    PublicationStatus,
    changes_of,
    course_view,
    lesson_view,
    outline_view,
)
from models.access import scopes
from models.access.scopes import Caller
from models.db import certain, snapshot
from models.fleet.replicas import caught_up
from models.learning import courses, lessons
from models.learning.courses import CourseDraft
from models.learning.lessons import LessonDraft

router = PrefixRouter(prefix="/v1/courses", tags=["learning"], route_class=WalledRoute)

COURSES = Listing("courses", UUID)
_Reader = Annotated[Caller, Depends(needs("read"))]
_Editor = Annotated[Caller, Depends(needs("edit"))]
_Name = Annotated[str, Path(description="Its id or slug.")]


@router.get("", response_model=CoursePage, summary="List courses")
def list_courses(
    who: _Reader,
    wanted: Annotated[WantedPage[UUID], Depends(COURSES.wanted)],
    level: Level | None = None,
    status: Annotated[PublicationStatus, Query(description="Drafts are for editors.")] = "published",
) -> Response:
    """Newest first."""
    if status == "draft":
        scopes.check_editor(who)
    with caught_up() as conn:
        rows = courses.list_courses(conn, status=status, level=level, before=wanted.after, limit=wanted.reads)
    return answer(COURSES.page(rows, wanted, lambda row: row.id, course_view))


@router.post("", status_code=201, response_model=CourseView, summary="Make a course")
def create_course(body: NewCourse, request: Request, who: _Editor, idempotency_key: RepeatKey = None) -> Response:
    """A draft, which editors alone see. For editors, as is whatever changes a course."""
    draft = CourseDraft(**body.model_dump())
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: course_view(courses.create_course(conn, by(who, request), draft)),
        status=201, location="/v1/courses/{id}",
    )  # fmt: skip


@router.get("/{course_id}", response_model=CourseOutline, summary="Look at a course")
def get_course(course_id: _Name, who: _Reader) -> Response:
    """With its modules and lessons, in order. Drafts, and lessons that are drafts, are shown to editors."""
    edits = scopes.may_edit(who)
    with snapshot() as conn:
        row = courses.find_course(conn, course_id, drafts=edits)
        shown = outline_view(row, *courses.outline(conn, row.id, drafts=edits))
    return answer(shown, 200, etag_of(row.version))


@router.patch("/{course_id}", response_model=CourseView, summary="Change a course")
def change_course(
    course_id: PathId, body: CourseChange, request: Request, who: _Editor, if_match: IfMatch = None
) -> Response:
    """Only what is named changes. `status` publishes it, or makes it a draft again: what was learned stays. With If-Match nothing is
    overwritten that another editor has written meanwhile.
    """
    wanted, version = id_of(course_id, "course"), version_of(if_match)
    with certain() as conn:
        row = courses.change_course(conn, by(who, request), wanted, changes_of(body), version)
    return answer(course_view(row), 200, etag_of(row.version))


@router.delete("/{course_id}", status_code=204, response_class=Response, summary="Delete a course")
def delete_course(course_id: PathId, request: Request, who: _Editor) -> Response:
    """What learners have done in it stays, and so do their certificates."""
    with certain() as conn:
        courses.archive_course(conn, by(who, request), id_of(course_id, "course"))
    return Response(status_code=204)


@router.put("/{course_id}/order", response_model=CourseOutline, summary="Order a course")
def order_course(course_id: PathId, body: CourseOrder, request: Request, who: _Editor) -> Response:
    """All modules and lessons at once; lessons may change their module. 422 where one is left out, or is not there: look again."""
    wanted = id_of(course_id, "course")
    with certain() as conn:
        courses.order_course(conn, by(who, request), wanted, [(each.id, each.lessons) for each in body.modules])
        row = courses.find_course(conn, str(wanted), drafts=True)
        shown = outline_view(row, *courses.outline(conn, wanted, drafts=True))
    return answer(shown)


@router.post("/{course_id}/modules", status_code=201, response_model=ModuleView, summary="Add a module")
def create_module(
    course_id: PathId, body: NewModule, request: Request, who: _Editor, idempotency_key: RepeatKey = None
) -> Response:
    """At a place, or at the end."""
    wanted = id_of(course_id, "course")
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: courses.create_module(conn, by(who, request), wanted, body.title, body.position)._asdict(),
        status=201,
    )  # fmt: skip


@router.patch("/{course_id}/modules/{module_id}", response_model=ModuleView, summary="Change a module")
def change_module(course_id: PathId, module_id: PathId, body: ModuleChange, request: Request, who: _Editor) -> Response:
    """Another title, another place, or both."""
    with certain() as conn:
        row = courses.change_module(
            conn, by(who, request), id_of(course_id, "course"), id_of(module_id, "module"), title=body.title,
            position=body.position,
        )  # fmt: skip
    return answer(row._asdict())


@router.delete("/{course_id}/modules/{module_id}", status_code=204, response_class=Response, summary="Delete a module")
def delete_module(course_id: PathId, module_id: PathId, request: Request, who: _Editor) -> Response:
    """With its lessons. What learners have done in them stays."""
    with certain() as conn:
        courses.archive_module(conn, by(who, request), id_of(course_id, "course"), id_of(module_id, "module"))
    return Response(status_code=204)


@router.post("/{course_id}/lessons", status_code=201, response_model=LessonView, summary="Add a lesson")
def create_lesson(
    course_id: PathId, body: NewLesson, request: Request, who: _Editor, idempotency_key: RepeatKey = None
) -> Response:
    """To a module of this course, at a place or at the end."""
    wanted, draft = id_of(course_id, "course"), LessonDraft(**body.model_dump())
    return once(
        who, idempotency_key, asked(request, body),
        lambda conn: lesson_view(lessons.create_lesson(conn, by(who, request), wanted, draft), edits=True),
        status=201, location="/v1/lessons/{id}",
    )  # fmt: skip
