"""`client.lessons`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from headrace_client._async.paging import AsyncPager
from headrace_client._async.sending import AsyncSender
from headrace_client._calls import OMIT, Call, Omit
from headrace_client.models import (
    AnsweredQuiz,
    GradedAttempt,
    Lesson,
    LessonReported,
    Question,
    Quiz,
    QuizAttempt,
    QuizAttemptPage,
    QuizKey,
)


class AsyncLessonsRoutes:
    """`client.lessons`: its routes."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def delete(self, lesson_id: str) -> None:
        """Delete a lesson. `DELETE /v1/lessons/{lesson_id}`.

        What learners have done in it stays, and it stands in nobody's way to the end of the course.
        """
        return await self._sender.ask_nothing(Call("DELETE", "/v1/lessons/{lesson_id}", at={"lesson_id": lesson_id}))

    async def get(self, lesson_id: str) -> Lesson:
        """Read a lesson. `GET /v1/lessons/{lesson_id}`.

        A preview is for everybody, the others for the role `pro` and above: 403 `needs_pro`. Drafts are for editors.
        """
        return await self._sender.ask(Call("GET", "/v1/lessons/{lesson_id}", at={"lesson_id": lesson_id}), Lesson)

    async def change(
        self,
        lesson_id: str,
        *,
        if_match: str | Omit = OMIT,
        access: Literal["preview", "pro"] | Omit | None = OMIT,
        body: str | Omit | None = OMIT,
        module_id: str | Omit | None = OMIT,
        pass_percent: int | Omit | None = OMIT,
        position: int | Omit | None = OMIT,
        status: Literal["draft", "published"] | Omit | None = OMIT,
        title: str | Omit | None = OMIT,
        video_url: str | Omit | None = OMIT,
    ) -> Lesson:
        """Change a lesson. `PATCH /v1/lessons/{lesson_id}`.

        Only what is named changes. `module_id` and `position` move it, within its course. With If-Match nothing is overwritten that
        another editor has written meanwhile.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
        """
        return await self._sender.ask(
            Call(
                "PATCH",
                "/v1/lessons/{lesson_id}",
                at={"lesson_id": lesson_id},
                headers={"If-Match": if_match},
                body={
                    "access": access,
                    "body": body,
                    "module_id": module_id,
                    "pass_percent": pass_percent,
                    "position": position,
                    "status": status,
                    "title": title,
                    "video_url": video_url,
                },
            ),
            Lesson,
        )

    def list_attempts(self, lesson_id: str, *, limit: int | Omit = OMIT) -> AsyncPager[QuizAttempt, QuizAttemptPage]:
        """List your attempts at a quiz. `GET /v1/lessons/{lesson_id}/attempts`.

        Newest first.

        Args:
            limit: How many at most.
        """
        return self._sender.pager(
            Call("GET", "/v1/lessons/{lesson_id}/attempts", at={"lesson_id": lesson_id}, query={"limit": limit}),
            QuizAttemptPage,
            lambda page: page.data,
        )

    async def answer_quiz(
        self, lesson_id: str, *, answers: Mapping[str, Sequence[int]], idempotency_key: str | None = None
    ) -> AnsweredQuiz:
        """Answer a quiz. `POST /v1/lessons/{lesson_id}/attempts`.

        Tells the score, what was right, and why. Who passes has completed the lesson. All attempts are kept, and the best score counts.

        Args:
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/lessons/{lesson_id}/attempts",
                at={"lesson_id": lesson_id},
                body={"answers": answers},
                once=True,
                key=idempotency_key,
            ),
            AnsweredQuiz,
        )

    async def get_attempt(self, lesson_id: str, attempt_id: str) -> GradedAttempt:
        """Look at an attempt at a quiz. `GET /v1/lessons/{lesson_id}/attempts/{attempt_id}`.

        One of your own, with what was right and why.
        """
        return await self._sender.ask(
            Call(
                "GET",
                "/v1/lessons/{lesson_id}/attempts/{attempt_id}",
                at={"lesson_id": lesson_id, "attempt_id": attempt_id},
            ),
            GradedAttempt,
        )

    async def order_questions(self, lesson_id: str, *, questions: Sequence[str]) -> QuizKey:
        """Order a quiz. `PUT /v1/lessons/{lesson_id}/order`.

        All questions at once. 422 where one is left out, or is not there: look again.
        """
        return await self._sender.ask(
            Call("PUT", "/v1/lessons/{lesson_id}/order", at={"lesson_id": lesson_id}, body={"questions": questions}),
            QuizKey,
        )

    async def report_progress(
        self,
        lesson_id: str,
        *,
        completed: bool | Omit = OMIT,
        score: int | Omit | None = OMIT,
        seconds: int | Omit = OMIT,
        visit: str | Omit | None = OMIT,
    ) -> LessonReported:
        """Report how far you are. `POST /v1/lessons/{lesson_id}/progress`.

        The first report of a course enrols you. A report may be sent again, late, or from several tabs: nothing becomes less, and time
        is the largest total of each `visit`, so send totals and not what was added.

        Args:
            completed: A lesson with a quiz is completed by passing it instead.
            score: Percent, where the lesson has no quiz. The best counts.
            seconds: How long this visit has lasted by now, in all; needs `visit`.
            visit: Your own name for this visit: one for each tab, and a new one when the page is opened again.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/lessons/{lesson_id}/progress",
                at={"lesson_id": lesson_id},
                body={"completed": completed, "score": score, "seconds": seconds, "visit": visit},
            ),
            LessonReported,
        )

    async def create_question(
        self,
        lesson_id: str,
        *,
        kind: Literal["single", "multiple"],
        options: Sequence[str],
        right_options: Sequence[int],
        text: str,
        explanation: str | Omit = OMIT,
        position: int | Omit | None = OMIT,
        idempotency_key: str | None = None,
    ) -> Question:
        """Add a question. `POST /v1/lessons/{lesson_id}/questions`.

        A lesson with a question has a quiz, and is completed by passing it from then on.

        Args:
            right_options: Places in `options`, from 0.
            idempotency_key: Made by itself, and kept over retries; give your own to repeat a call later.
        """
        return await self._sender.ask(
            Call(
                "POST",
                "/v1/lessons/{lesson_id}/questions",
                at={"lesson_id": lesson_id},
                body={
                    "kind": kind,
                    "options": options,
                    "right_options": right_options,
                    "text": text,
                    "explanation": explanation,
                    "position": position,
                },
                once=True,
                key=idempotency_key,
            ),
            Question,
        )

    async def delete_question(self, lesson_id: str, question_id: str) -> None:
        """Delete a question. `DELETE /v1/lessons/{lesson_id}/questions/{question_id}`.

        Attempts keep their answers to it. A lesson without questions has no quiz.
        """
        return await self._sender.ask_nothing(
            Call(
                "DELETE",
                "/v1/lessons/{lesson_id}/questions/{question_id}",
                at={"lesson_id": lesson_id, "question_id": question_id},
            )
        )

    async def change_question(
        self,
        lesson_id: str,
        question_id: str,
        *,
        if_match: str | Omit = OMIT,
        explanation: str | Omit | None = OMIT,
        kind: Literal["single", "multiple"] | Omit | None = OMIT,
        options: Sequence[str] | Omit | None = OMIT,
        position: int | Omit | None = OMIT,
        right_options: Sequence[int] | Omit | None = OMIT,
        text: str | Omit | None = OMIT,
    ) -> Question:
        """Change a question. `PATCH /v1/lessons/{lesson_id}/questions/{question_id}`.

        Only what is named changes. With other options, or others that are right, it has another `id` from then on: who answers the
        one that they have seen is told to load the quiz again. With If-Match nothing is overwritten that another editor has written
        meanwhile.

        Args:
            if_match: The version that you have seen, as in the ETag: "3". Another by now: 412.
        """
        return await self._sender.ask(
            Call(
                "PATCH",
                "/v1/lessons/{lesson_id}/questions/{question_id}",
                at={"lesson_id": lesson_id, "question_id": question_id},
                headers={"If-Match": if_match},
                body={
                    "explanation": explanation,
                    "kind": kind,
                    "options": options,
                    "position": position,
                    "right_options": right_options,
                    "text": text,
                },
            ),
            Question,
        )

    async def get_quiz(self, lesson_id: str) -> Quiz:
        """Get a quiz. `GET /v1/lessons/{lesson_id}/quiz`.

        The lesson's questions, without what is right: an attempt tells that.
        """
        return await self._sender.ask(Call("GET", "/v1/lessons/{lesson_id}/quiz", at={"lesson_id": lesson_id}), Quiz)

    async def get_quiz_key(self, lesson_id: str) -> QuizKey:
        """Get a quiz with its answers. `GET /v1/lessons/{lesson_id}/quiz/key`.

        For editors.
        """
        return await self._sender.ask(
            Call("GET", "/v1/lessons/{lesson_id}/quiz/key", at={"lesson_id": lesson_id}), QuizKey
        )
