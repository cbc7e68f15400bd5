"""The shapes of courses, lessons and quizzes, as editors write them and learners read them."""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.routes.cursors import ListPage
from api.routes.shapes import RequestBody
from common.markdown import html_of
from models.learning.courses import CourseRow, LessonLine, ModuleRow
from models.learning.lessons import LessonRow
from models.learning.quizzes import QuestionRow
from models.learning.tables import (
    MAX_BODY_CHARACTERS,
    MAX_DESCRIPTION_CHARACTERS,
    MAX_LESSONS,
    MAX_MODULES,
    MAX_OPTIONS,
    MAX_QUESTIONS,
    MAX_TEXT_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    MAX_URL_CHARACTERS,
)

ONE_LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE_CHARACTERS, pattern=ONE_LINE)]
WebAddress = Annotated[str, Field(max_length=MAX_URL_CHARACTERS, pattern=r"^https?://[^\s\x00-\x1f\x7f<>\"'`\\]+$")]
CourseDescription = Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARACTERS)]
Markdown = Annotated[str, Field(max_length=MAX_BODY_CHARACTERS, description="Markdown.")]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS, pattern=r"\S")]
Explanation = Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)]
PlaceInOrder = Annotated[
    int, Field(strict=True, ge=0, le=10_000, description="From 0; beyond the last one is the end.")
]
Level = Literal["basic", "intermediate", "advanced"]
PublicationStatus = Literal["draft", "published"]
Access = Literal["preview", "pro"]
QuestionKind = Literal["single", "multiple"]
PassPercent = Annotated[int, Field(strict=True, ge=1, le=100, description="How much of its quiz has to be right.")]
Options = Annotated[list[Text], Field(min_length=2, max_length=MAX_OPTIONS)]
RightOptions = Annotated[
    list[Annotated[int, Field(strict=True, ge=0, lt=MAX_OPTIONS)]],
    Field(min_length=1, max_length=MAX_OPTIONS, description="Places in `options`, from 0."),
]
EditedVersion = Annotated[
    int, Field(description="Grows with each change of what it says. The ETag, which a change may name as If-Match.")
]
CourseSlug = Annotated[
    str, Field(max_length=80, pattern="^[a-z0-9]+(-[a-z0-9]+)*$", description="Its name in addresses; no id.")
]
NULLABLE = frozenset({"cover_url", "video_url"})


def changes_of(body: RequestBody) -> dict[str, Any]:
    """What a change names. Null takes an address away; of anything else it changes nothing."""
    named = body.model_dump(exclude_unset=True)
    return {name: value for name, value in named.items() if value is not None or name in NULLABLE}


class NewCourse(RequestBody):
    """A course, which is a draft until it is published."""

    title: Title
    level: Level
    description: CourseDescription = ""
    cover_url: WebAddress | None = None
    slug: Annotated[CourseSlug | None, Field(description="Absent: made of the title.")] = None


class CourseChange(RequestBody):
    """What is to be different; the rest stays."""

    title: Title | None = None
    level: Level | None = None
    description: CourseDescription | None = None
    cover_url: WebAddress | None = None
    slug: CourseSlug | None = None
    status: PublicationStatus | None = None


class NewModule(RequestBody):
    """A part of a course."""

    title: Title
    position: PlaceInOrder | None = None


class ModuleChange(RequestBody):
    """What is to be different; the rest stays."""

    title: Title | None = None
    position: PlaceInOrder | None = None


class ModuleOrder(RequestBody):
    """A module's lessons in their new order."""

    id: UUID
    lessons: Annotated[list[UUID], Field(max_length=MAX_LESSONS)]


class CourseOrder(RequestBody):
    """All modules of a course and all lessons in them, each once, in their new order."""

    modules: Annotated[list[ModuleOrder], Field(max_length=MAX_MODULES)]


class NewLesson(RequestBody):
    """A lesson of a module."""

    module_id: UUID
    title: Title
    body: Markdown = ""
    video_url: WebAddress | None = None
    access: Access = "pro"
    status: PublicationStatus = "published"
    pass_percent: PassPercent = 80
    position: PlaceInOrder | None = None


class LessonChange(RequestBody):
    """What is to be different; the rest stays."""

    module_id: UUID | None = None
    title: Title | None = None
    body: Markdown | None = None
    video_url: WebAddress | None = None
    access: Access | None = None
    status: PublicationStatus | None = None
    pass_percent: PassPercent | None = None
    position: PlaceInOrder | None = None


class NewQuestion(RequestBody):
    """A question of a lesson's quiz."""

    kind: QuestionKind
    text: Text
    options: Options
    right_options: RightOptions
    explanation: Explanation = ""
    position: PlaceInOrder | None = None


class QuestionChange(RequestBody):
    """What is to be different; the rest stays."""

    kind: QuestionKind | None = None
    text: Text | None = None
    options: Options | None = None
    right_options: RightOptions | None = None
    explanation: Explanation | None = None
    position: PlaceInOrder | None = None


class QuestionOrder(RequestBody):
    """All questions of a quiz, each once, in their new order."""

    questions: Annotated[list[UUID], Field(max_length=MAX_QUESTIONS)]


class CourseView(BaseModel):
    """A course. `lessons` are those that are published; `enrolled` have begun it, `completed` have completed it."""

    id: UUID
    slug: str
    title: str
    description: str
    level: Level
    cover_url: str | None
    status: PublicationStatus
    published_at: datetime | None
    version: EditedVersion
    created_at: datetime
    lessons: int
    enrolled: int
    completed: int


class CoursePage(ListPage[CourseView]):
    """Courses, newest first."""


class OutlineLesson(BaseModel):
    """A lesson as its course names it; `questions` are those of its quiz."""

    id: UUID
    title: str
    access: Access
    status: PublicationStatus
    questions: int


class OutlineModule(BaseModel):
    """A module and its lessons, in order."""

    id: UUID
    title: str
    lessons: list[OutlineLesson]


class CourseOutline(CourseView):
    """A course with its modules and their lessons, in order."""

    modules: list[OutlineModule]


class ModuleView(BaseModel):
    """A module."""

    id: UUID
    title: str


class LessonView(BaseModel):
    """A lesson. `html` is harmless; `body`, the Markdown that it was made of, is for editors."""

    id: UUID
    course_id: UUID
    module_id: UUID
    title: str
    html: str
    body: str | None
    video_url: str | None
    access: Access
    status: PublicationStatus
    pass_percent: Annotated[int, Field(description="How much of its quiz has to be right.")]
    questions: Annotated[int, Field(description="Of its quiz; 0: it has none, and is completed by saying so.")]
    version: EditedVersion
    created_at: datetime


class AskedQuestion(BaseModel):
    """A question as a learner gets it. `single`: one option is right; `multiple`: all that are right have to be chosen."""

    id: UUID
    kind: QuestionKind
    text: str
    options: list[str]


class Quiz(BaseModel):
    """A lesson's quiz, without its answers."""

    lesson_id: UUID
    pass_percent: int
    questions: list[AskedQuestion]


class QuestionView(AskedQuestion):
    """A question as an editor gets it."""

    right_options: list[int]
    explanation: str
    version: EditedVersion


class QuizKey(BaseModel):
    """A lesson's quiz with its answers."""

    lesson_id: UUID
    pass_percent: int
    questions: list[QuestionView]


# A lesson is read often and written seldom, and 5,000 characters take 12 ms of a core. At most 20 MB.
_html = lru_cache(maxsize=128)(html_of)


def course_view(row: CourseRow) -> dict[str, Any]:
    """A course, as GET /v1/courses shows it."""
    return row._asdict()


def outline_view(row: CourseRow, modules: list[ModuleRow], lessons: list[LessonLine]) -> dict[str, Any]:
    """A course with what it consists of."""

    def lines(module_id: UUID) -> list[dict[str, Any]]:
        mine = [each._asdict() for each in lessons if each.module_id == module_id]
        return [{name: value for name, value in each.items() if name != "module_id"} for each in mine]

    return {**row._asdict(), "modules": [{**each._asdict(), "lessons": lines(each.id)} for each in modules]}


def lesson_view(row: LessonRow, *, edits: bool) -> dict[str, Any]:
    """A lesson, as GET /v1/lessons/{id} answers."""
    return {**row._asdict(), "html": _html(row.body), "body": row.body if edits else None}


def asked_view(row: QuestionRow) -> dict[str, Any]:
    """A question without what would give it away."""
    return {"id": row.id, "kind": row.kind, "text": row.text, "options": row.options}


def question_view(row: QuestionRow) -> dict[str, Any]:
    """A question with its answer."""
    return row._asdict()
