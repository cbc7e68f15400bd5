"""Reimaji's courses, from their first draft to a learner's certificate (D7)."""

from examples.mailbox import Mailbox
from examples.photos import Photos, size_of
from examples.reimaji.learners import Learners
from examples.running import Place, eventually, fulfilled, refused, same

TITLE, COMPLETED = "How to ask well", "Course completed"


class School:
    """A course of two lessons: one for everybody, one for who is pro, with a quiz."""

    def __init__(self, place: Place, learners: Learners, mailbox: Mailbox) -> None:
        self._place, self._learners, self._mailbox = place, learners, mailbox
        self._course = self._open = self._closed = self._question = self._certificate = ""

    def write(self) -> None:
        courses, learner = self._learners.admin.courses, self._learners.learner.client
        course_id = self._course = courses.create(title=TITLE, level="basic").id
        refused(403, "forbidden", learner.courses.create, title=TITLE, level="basic")
        module = courses.create_module(course_id, title="First steps").id
        quiz = courses.create_lesson(course_id, module_id=module, title="A quiz", body="Which?", access="pro")
        hello = courses.create_lesson(
            course_id, module_id=module, title="Hello", body="# Hello\n\n*Learner*", access="preview", position=0
        )
        self._closed, self._open = quiz.id, hello.id
        self._question = self._learners.admin.lessons.create_question(
            quiz.id, kind="multiple", text="What helps?", options=["an example", "shouting", "a goal"],
            right_options=[0, 2], explanation="Both say what you want.",
        ).id  # fmt: skip
        refused(404, "not_found", learner.courses.get, course_id)
        courses.change(course_id, status="published")
        of_level = [each.id for each in learner.courses.list(level="basic").first().data]
        fulfilled(course_id in of_level, "it is not among the courses of its level")
        (part,) = learner.courses.get(course_id).modules
        same([each.title for each in part.lessons], ["Hello", "A quiz"], "the lessons, in order")

    def begin(self) -> None:
        lessons = self._learners.learner.client.lessons
        same(lessons.get(self._open).html, "<h1>Hello</h1>\n<p><em>Learner</em></p>\n", "a lesson for everybody")
        refused(403, "needs_pro", lessons.get, self._closed)
        refused(403, "needs_pro", lessons.get_quiz, self._closed)
        for _ in range(2):  # what is told twice counts once
            told = lessons.report_progress(self._open, visit="tab-1", seconds=40, completed=True)
        found = (told.lesson.seconds, told.module.completed, told.course.percent)
        same(found, (40, 1, 50), "seconds, lessons completed, percent of the course")
        same(told.course.certificate_url, None, "the certificate of who has not come to the end")

    def finish(self) -> None:
        client = self._learners.learner.client
        quiz = client.lessons.get_quiz(self._closed)
        fulfilled("right_options" not in str(quiz), "the quiz gives its answers away")
        wrong = client.lessons.answer_quiz(self._closed, answers={self._question: [1]})
        same((wrong.score, wrong.passed), (0, False), "a wrong attempt")
        same(wrong.questions[0].explanation, "Both say what you want.", "why it is wrong")
        right = client.lessons.answer_quiz(self._closed, answers={self._question: [2, 0]})
        found = (right.score, right.passed, right.progress.course.percent)
        same(found, (100, True, 100), "a right one, and the percent of the course")
        attempts = client.lessons.list_attempts(self._closed)
        same([each.score for each in attempts], [100, 0], "the attempts' scores, the newest first")
        (enrolment,) = client.enrolments.list()
        self._certificate = enrolment.certificate_url or ""
        course = client.courses.get(self._course)
        same((course.enrolled, course.completed), (1, 1), "how many have begun and completed it")

    def be_told(self) -> None:
        told = self._learners.learner.client.notifications.list().first().data[0]
        same((told.kind, told.title), ("course.completed", COMPLETED), "the newest notification")
        same(told.data["certificate"], self._certificate, "the certificate that it names")
        email = self._learners.learner.email
        eventually(lambda: COMPLETED in self._mailbox.subjects(email), True, "whether mail says so")

    def show_certificate(self) -> None:
        page = self._place.fetch(self._certificate, "the certificate")  # whoever has the address needs no key
        same(page.status_code, 200, "how the certificate is answered")
        fulfilled(TITLE in page.text, "it does not say what was completed")
        picture = self._place.fetch(f"{self._certificate}/certificate.png", "its picture")
        same(picture.status_code, 200, "how its picture is answered")
        width, height = size_of(picture.content)
        fulfilled(width > height > 1000, f"its picture has {width} times {height} pixels")

    def photograph(self, photos: Photos) -> None:
        photos.take(self._certificate, "certificate")
