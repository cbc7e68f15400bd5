"""Pixorly's pictures: found, searched, published, liked, kept and deleted (B5, B6)."""

from datetime import UTC, date, datetime
from typing import Literal

from headrace_client.models import Item

from examples.pixorly.person import Person
from examples.running import Place, eventually, fulfilled, refused, same

PROMPTS = ("a harbour at dawn", "ice and mountains", "northern lights over a lake")
MODEL = "sketch-image"


class Gallery:
    """What one user has made, and what another sees of it. `pictures` are the user's items, in the order of PROMPTS; `film` is there
    once it was made.
    """

    film: Item

    def __init__(self, place: Place, person: Person, friend: Person) -> None:
        self._place, self._person, self._friend = place, person, friend
        self.pictures: list[Item] = []

    def fill(self) -> None:
        browser = self._person.browser
        for number, prompt in enumerate(PROMPTS):
            job = browser.jobs.run(MODEL, prompt=prompt, width=1024, height=640, seed=number)
            (item,) = browser.images.list(job=job.id)
            self.pictures.append(item)
        first = self.pictures[0]
        same(
            (first.prompt, first.model, first.seed, first.own), (PROMPTS[0], MODEL, 0, True), "prompt, model, seed, own"
        )
        same((first.width, first.height, first.public), (1024, 640, False), "width, height, public")
        for address in (first.url, first.thumbnail_url or ""):
            same(self._place.fetch(address, "the picture").status_code, 200, "how the picture is answered")

    def find(self) -> None:
        images, newest_first = self._person.browser.images, [each.id for each in reversed(self.pictures)]
        same([each.id for each in images.list(model=MODEL)], newest_first, "the pictures of a model, newest first")
        today = {each.id for each in images.list(from_=datetime.now(UTC).date())}
        fulfilled(set(newest_first) <= today, "not all are of today")
        same(list(images.list(to=date(2020, 1, 1))), [], "the pictures of long ago")
        same(list(images.list(public=True)), [], "the public ones")
        refused(422, "invalid_request", images.list, from_="yesterday")

    def search(self) -> None:
        harbour = self.pictures[0].id
        eventually(lambda: self._found(self._person, "HARBOUR dawn"), [harbour], "what is found by words of its prompt")
        same(self._found(self._person, "harbour -dawn"), [], "what is found without a word")
        same(self._found(self._friend, "harbour"), [], "what another finds among their own")

    def _found(self, who: Person, words: str, of: Literal["own", "public"] = "own") -> list[str]:
        return [each.id for each in who.browser.search.images(q=words, of=of, limit=100).first().data]

    def publish(self) -> None:
        item, own, others = self.pictures[0].id, self._person.browser.images, self._friend.browser.images
        refused(404, "not_found", others.get, item)
        refused(404, "not_found", others.change, item, public=True)
        shown = own.change(item, public=True, title="Six in the morning")
        same((shown.public, shown.title), (True, "Six in the morning"), "the picture once it is public")
        same(item in self._fed("newest"), True, "whether it is in the feed")
        same(item in self._found(self._friend, "harbour", of="public"), True, "whether others find it")
        seen = others.get(item)
        same((seen.own, seen.job, seen.prompt), (False, None, PROMPTS[0]), "own, job and prompt, to another")
        own.change(item, public=False)
        refused(404, "not_found", others.get, item)
        same(item in self._fed("newest"), False, "whether it is in the feed, private again")
        own.change(item, public=True)

    def _fed(self, order: Literal["newest", "liked"]) -> list[str]:
        """What another sees in the feed."""
        return [each.id for each in self._friend.browser.feed.list(order=order, kind="image", limit=100).first().data]

    def like(self) -> None:
        item, images = self.pictures[0].id, self._friend.browser.images
        for _ in range(2):
            liked = images.like(item)
            same((liked.likes, liked.liked), (1, True), "the likes, after the same user's")
        same(item in self._fed("liked"), True, "whether it is among the most liked")
        same(self._person.browser.images.get(item).liked, False, "whether its owner likes it")
        left = images.unlike(item)
        same((left.likes, left.liked), (0, False), "the likes, taken back")

    def make_a_film(self) -> None:
        browser = self._person.browser
        job = browser.jobs.run("sketch-video", prompt="sunset over the sea", seed=2)
        (self.film,) = browser.videos.list()
        same(self.film.job, job.id, "the job of the film")
        same((self.film.kind, self.film.duration_seconds), ("video", 5.0), "its kind, and its seconds")
        refused(404, "not_found", browser.images.get, self.film.id)

    def _place_of(self, item: Item) -> tuple[str, int]:
        """The item's job, and its place among the job's results."""
        return item.job or "", 0

    def keep(self) -> None:
        jobs, where = self._person.browser.jobs, self._place_of(self.pictures[1])
        kept = jobs.keep_output(*where)
        same((kept.kept, kept.expires_at), (True, None), "kept, and its end")
        same(jobs.let_output_go(*where).kept, False, "whether it is kept, left to its time again")
        refused(404, "not_found", self._friend.browser.jobs.keep_output, *where)

    def delete(self) -> None:
        browser, gone = self._person.browser, self.pictures[2]
        before = browser.storage.get().used_bytes
        for _ in range(2):
            browser.jobs.delete_output(*self._place_of(gone))
        freed = before - browser.storage.get().used_bytes
        fulfilled(freed >= gone.size_bytes, f"of {gone.size_bytes} bytes that were deleted {freed} are free again")
        refused(404, "not_found", browser.images.get, gone.id)
        refused(410, "result_gone", browser.files.read, gone.url)
