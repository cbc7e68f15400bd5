"""Reimaji's courses, from their first draft to a learner's certificate (D7)."""

from typing import Any

import httpx

from examples.mailbox import Mailbox
from examples.photos import Photos, size_of
from examples.reimaji.learners import Learners
from examples.running import eventually, fulfilled, same

TITLE, COMPLETED = "How to ask well", "Course completed"


class School:
    """A course of two lessons: one for everybody, one for who is pro, with a quiz."""

    def __init__(self, client: httpx.Client, learners: Learners, mailbox: Mailbox) -> None:
        self._client, self._learners, self._mailbox = client, learners, mailbox
        self._course = self._open = self._closed = self._question = self._certificate = ""

    def write(self) -> None:
        admin, learner = self._learners.admin, self._learners.learner.caller
        course = admin.ask("POST", "/v1/courses", status=201, json={"title": TITLE, "level": "basic"})
        self._course = f"/v1/courses/{course['id']}"
        learner.refused("POST", "/v1/courses", 403, "forbidden", json={"title": TITLE, "level": "basic"})
        module = admin.ask("POST", f"{self._course}/modules", status=201, json={"title": "First steps"})["id"]
        lesson: dict[str, Any] = {"module_id": module, "body": "# Hello\n\n*Learner*"}
        ids = [
            admin.ask("POST", f"{self._course}/lessons", status=201, json={**lesson, **more})["id"]
            for more in ({"title": "A quiz", "access": "pro"}, {"title": "Hello", "access": "preview", "position": 0})
        ]
        self._closed, self._open = (f"/v1/lessons/{each}" for each in ids)
        quiz = {
            "kind": "multiple", "text": "What helps?", "options": ["an example", "shouting", "a goal"],
            "right_options": [0, 2], "explanation": "Both say what you want.",
        }  # fmt: skip
        self._question = admin.ask("POST", f"{self._closed}/questions", status=201, json=quiz)["id"]
        learner.refused("GET", self._course, 404, "not_found")
        admin.ask("PATCH", self._course, json={"status": "published"})
        (part,) = learner.ask("GET", self._course)["modules"]
        same([each["title"] for each in part["lessons"]], ["Hello", "A quiz"], "the lessons, in order")

    def begin(self) -> None:
        caller = self._learners.learner.caller
        same(
            caller.ask("GET", self._open)["html"], "<h1>Hello</h1>\n<p><em>Learner</em></p>\n", "a lesson for everybody"
        )
        for method, path in (("GET", self._closed), ("GET", f"{self._closed}/quiz")):
            caller.refused(method, path, 403, "needs_pro")
        said = {"visit": "tab-1", "seconds": 40, "completed": True}
        for _ in range(2):  # what is told twice counts once
            told = caller.ask("POST", f"{self._open}/progress", json=said)
        same(
            (told["lesson"]["seconds"], told["module"]["completed"], told["course"]["percent"]), (40, 1, 50), "how far"
        )
        same(told["course"]["certificate_url"], None, "the certificate of who has not come to the end")

    def finish(self) -> None:
        caller = self._learners.learner.caller
        quiz = caller.ask("GET", f"{self._closed}/quiz")
        fulfilled("right_options" not in str(quiz), "the quiz gives its answers away")
        wrong = caller.ask("POST", f"{self._closed}/attempts", status=201, json={"answers": {self._question: [1]}})
        same((wrong["score"], wrong["passed"]), (0, False), "a wrong attempt")
        same(wrong["questions"][0]["explanation"], "Both say what you want.", "why it is wrong")
        right = caller.ask("POST", f"{self._closed}/attempts", status=201, json={"answers": {self._question: [2, 0]}})
        same((right["score"], right["passed"], right["progress"]["course"]["percent"]), (100, True, 100), "a right one")
        (enrolment,) = caller.ask("GET", "/v1/enrolments")["data"]
        self._certificate = enrolment["certificate_url"]
        found = caller.ask("GET", self._course)
        same((found["enrolled"], found["completed"]), (1, 1), "how many have begun and completed it")

    def be_told(self) -> None:
        told = self._learners.learner.caller.ask("GET", "/v1/notifications")["data"][0]
        same((told["kind"], told["title"]), ("course.completed", COMPLETED), "the newest notification")
        same(told["data"]["certificate"], self._certificate, "the certificate that it names")
        email = self._learners.learner.email
        eventually(lambda: COMPLETED in self._mailbox.subjects(email), True, "whether mail says so")

    def show_certificate(self) -> None:
        page = self._client.get(self._certificate)  # whoever has the address needs no key
        same(page.status_code, 200, "how the certificate is answered")
        fulfilled(TITLE in page.text, "it does not say what was completed")
        picture = self._client.get(f"{self._certificate}/certificate.png")
        same(picture.status_code, 200, "how its picture is answered")
        width, height = size_of(picture.content)
        fulfilled(width > height > 1000, f"its picture has {width} times {height} pixels")

    def photograph(self, photos: Photos) -> None:
        photos.take(self._certificate, "certificate")
