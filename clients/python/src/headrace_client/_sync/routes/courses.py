"""`client.courses`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.paging import Pager
from headrace_client._sync.sending import Sender
from headrace_client.models import Course, CourseOutline, CoursePage, Lesson, Module, ModuleOrder, Progress


class CoursesRoutes:
    """`client.courses`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        level: Literal["basic", "intermediate", "advanced"] | Omit | None = OMIT,
        status: Literal["draft", "published"] | Omit = OMIT,
        limit: int | Omit = OMIT,
    ) -> Pager[Course, CoursePage]:
        """List courses. `GET /v1/courses`.

        Newest first.

        Args:
            status: Drafts are for editors.
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/courses", query={"level": level, "status": status, "limit": limit}),
            CoursePage,
            lambda page: page.data,
        )

    def create(
        self,
        *,
        level: Literal["basic", "intermediate", "advanced"],
        title: str,
        cover_url: str | Omit | None = OMIT,
        description: str | Omit = OMIT,
        slug: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Course:
        """Make a course. `POST /v1/courses`.

        A draft, which editors alone see. For editors, as is whatever changes a course.

        Args:
            slug: Absent: made of the title.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/courses",
                body={"level": level, "title": title, "cover_url": cover_url, "description": description, "slug": slug},
                once=True,
                key=idempotency_key,
            ),
            Course,
        )

    def delete(self, course_id: str) -> None:
        """Delete a course. `DELETE /v1/courses/{course_id}`.

        What learners have done in it stays, and so do their certificates.
        """
        return self._sender.ask_nothing(Call("DELETE", "/v1/courses/{course_id}", at={"course_id": course_id}))

    def get(self, course_id: str) -> CourseOutline:
        """Look at a course. `GET /v1/courses/{course_id}`.

        With its modules and lessons, in order. Drafts, and lessons that are drafts, are shown to editors.

        Args:
            course_id: Its id or slug.
        """
        return self._sender.ask(Call("GET", "/v1/courses/{course_id}", at={"course_id": course_id}), CourseOutline)

    def change(
        self,
        course_id: str,
        *,
        if_match: str | Omit = OMIT,
        cover_url: str | Omit | None = OMIT,
        description: str | Omit | None = OMIT,
        level: Literal["basic", "intermediate", "advanced"] | Omit | None = OMIT,
        slug: str | Omit | None = OMIT,
        status: Literal["draft", "published"] | Omit | None = OMIT,
        title: str | Omit | None = OMIT,
    ) -> Course:
        """Change a course. `PATCH /v1/courses/{course_id}`.

        Only what is named changes. `status` publishes it, or makes it a draft again: what was learned stays. With If-Match nothing is
        overwritten that another editor has written meanwhile.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
        """
        return self._sender.ask(
            Call(
                "PATCH",
                "/v1/courses/{course_id}",
                at={"course_id": course_id},
                headers={"If-Match": if_match},
                body={
                    "cover_url": cover_url,
                    "description": description,
                    "level": level,
                    "slug": slug,
                    "status": status,
                    "title": title,
                },
            ),
            Course,
        )

    def create_lesson(
        self,
        course_id: str,
        *,
        module_id: str,
        title: str,
        access: Literal["preview", "pro"] | Omit = OMIT,
        body: str | Omit = OMIT,
        pass_percent: int | Omit = OMIT,
        position: int | Omit | None = OMIT,
        status: Literal["draft", "published"] | Omit = OMIT,
        video_url: str | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Lesson:
        """Add a lesson. `POST /v1/courses/{course_id}/lessons`.

        To a module of this course, at a place or at the end.

        Args:
            body: Markdown.
            pass_percent: How much of its quiz has to be right.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/courses/{course_id}/lessons",
                at={"course_id": course_id},
                body={
                    "module_id": module_id,
                    "title": title,
                    "access": access,
                    "body": body,
                    "pass_percent": pass_percent,
                    "position": position,
                    "status": status,
                    "video_url": video_url,
                },
                once=True,
                key=idempotency_key,
            ),
            Lesson,
        )

    def create_module(
        self, course_id: str, *, title: str, position: int | Omit | None = OMIT, idempotency_key: str | None = None
    ) -> Module:
        """Add a module. `POST /v1/courses/{course_id}/modules`.

        At a place, or at the end.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/v1/courses/{course_id}/modules",
                at={"course_id": course_id},
                body={"title": title, "position": position},
                once=True,
                key=idempotency_key,
            ),
            Module,
        )

    def delete_module(self, course_id: str, module_id: str) -> None:
        """Delete a module. `DELETE /v1/courses/{course_id}/modules/{module_id}`.

        With its lessons. What learners have done in them stays.
        """
        return self._sender.ask_nothing(
            Call(
                "DELETE",
                "/v1/courses/{course_id}/modules/{module_id}",
                at={"course_id": course_id, "module_id": module_id},
            )
        )

    def change_module(
        self, course_id: str, module_id: str, *, position: int | Omit | None = OMIT, title: str | Omit | None = OMIT
    ) -> Module:
        """Change a module. `PATCH /v1/courses/{course_id}/modules/{module_id}`.

        Another title, another place, or both.
        """
        return self._sender.ask(
            Call(
                "PATCH",
                "/v1/courses/{course_id}/modules/{module_id}",
                at={"course_id": course_id, "module_id": module_id},
                body={"position": position, "title": title},
            ),
            Module,
        )

    def order(self, course_id: str, *, modules: Sequence[ModuleOrder]) -> CourseOutline:
        """Order a course. `PUT /v1/courses/{course_id}/order`.

        All modules and lessons at once; lessons may change their module. 422 where one is left out, or is not there: look again.
        """
        return self._sender.ask(
            Call("PUT", "/v1/courses/{course_id}/order", at={"course_id": course_id}, body={"modules": modules}),
            CourseOutline,
        )

    def get_progress(self, course_id: str) -> Progress:
        """See how far you have come. `GET /v1/courses/{course_id}/progress`.

        In a course, its modules and its lessons: of what is published now.
        """
        return self._sender.ask(Call("GET", "/v1/courses/{course_id}/progress", at={"course_id": course_id}), Progress)
