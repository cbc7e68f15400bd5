"""Pixorly's generations and what they take of credits and storage (B3, B4, B6, B9)."""

from headrace_client import Headrace, JobFailed
from headrace_client.models import Job, Output

from examples.pixorly.person import Person
from examples.running import Difference, fulfilled, same

PRICES = {"dall-e-3": 5, "stable-diffusion": 3, "dall-e-2": 2, "flux-schnell": 1}
# What Pixorly calls a job's states.
THEIRS = {
    "queued": "pending", "running": "processing", "succeeded": "completed", "failed": "failed", "canceled": "failed",
}  # fmt: skip


class Pictures:
    """What one user generates."""

    _picture: Output

    def __init__(self, admin: Headrace, person: Person) -> None:
        self._admin, self._person = admin, person

    def quote(self) -> None:
        for model, wanted in PRICES.items():
            quote = self._person.browser.quotes.create(model=model, input={"prompt": "a fox"})
            same(quote.credits, wanted, f"the credits for a picture by {model}")

    def generate(self) -> None:
        browser, before = self._person.browser, self._credits()
        wanted = {"prompt": "a fox in the snow", "width": 512, "height": 512, "seed": 7}
        job = browser.jobs.submit("stable-diffusion", wanted)
        fulfilled(THEIRS[job.status] in ("pending", "processing"), f"a new job is {job.status}")
        done = browser.jobs.wait(job)
        same(THEIRS[done.status], "completed", "how it ended")
        same((done.credits.charged, before - self._credits()), (3, 3), "what it cost, and what is gone")
        times = [moment for moment in (done.created_at, done.started_at, done.ended_at) if moment]
        same((len(times), times), (3, sorted(times)), "ordered, started and ended, in this order")
        (self._picture,) = done.outputs
        found = (self._picture.width, self._picture.height, self._picture.media_type)
        same(found, (512, 512, "image/png"), "width, height and type of the picture")
        fulfilled(len(done.image()) == self._picture.size_bytes, "the picture is not as large as it says")

    def _credits(self) -> int:
        return self._person.me().balance.available

    def _fails(self, job: Job) -> Job:
        """A job that must fail, for nothing."""
        done = self._person.browser.jobs.wait(job)
        same((THEIRS[done.status], done.credits.charged), ("failed", 0), "how it ended, and what it cost")
        fulfilled(bool(done.error and done.error.message), "it does not say why")
        return done

    def fail_and_retry(self) -> None:
        jobs, before = self._person.browser.jobs, self._credits()
        try:
            jobs.run("sketch-broken", prompt="what cannot be drawn")
        except JobFailed as failure:
            failed = self._fails(failure.job)
        else:
            raise Difference("a job that cannot be done has succeeded")
        again = jobs.retry(failed.id)
        same(again.retry_of, failed.id, "what the new job tries again")
        self._fails(again)
        same(self._credits(), before, "the credits after both")

    def look_at_storage(self) -> None:
        storage = self._person.browser.storage.get()
        fulfilled(
            self._picture.size_bytes <= storage.used_bytes < storage.quota_bytes,
            f"a picture of {self._picture.size_bytes} bytes landed, and of the storage is said: {storage}",
        )
        same(storage.quota_bytes, self._person.me().storage.quota_bytes, "the quota in bytes")

    def look_at_usage(self) -> None:
        usage = self._person.browser.usage.get(by="day,model")
        of_day = {row.model: row for row in usage.rows}
        drawn, broken = of_day["stable-diffusion"], of_day["sketch-broken"]
        same((drawn.succeeded, drawn.credits, drawn.results), (1, 3, 1), "pictures made, credits, results of the day")
        same((broken.failed, broken.credits), (2, 0), "what failed, and what it cost")
        left = usage.total.bytes_added - usage.total.bytes_removed
        same(left == self._person.me().storage.used_bytes, True, "whether what was added and not removed is there")
        fulfilled(usage.total.requests > 0, "no request is counted")
        of_account = self._admin.admin.get_usage_of_accounts(account=self._person.me().account_id).total
        same(of_account.cost_usd_micros is not None, True, "whether operators see what it cost")
        same(usage.total.cost_usd_micros, None, "what the user sees of that")
