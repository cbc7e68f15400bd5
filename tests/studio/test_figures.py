"""What the studio costs a browser, counted in a run and printed: requests, bytes, and a gallery of a thousand pictures."""

import gzip
import json
from collections import Counter
from collections.abc import Callable

from examples.studio.server import BUILT
from tests.models.gallery.things import indexed, offer, result
from tests.studio.house import Somebody, needs_studio

pytestmark = needs_studio
PIECES = 1000
MOST_BYTES = 110_000  # of scripts and styles, compressed; React alone is 60,000
# Before anything else in a page: every request by method and address, when it first paints, and when its list is there.
WATCH = """
window.asked = [];
const before = window.fetch;
window.fetch = (url, options) => (window.asked.push(`${options?.method ?? 'GET'} ${new URL(url, location).pathname}${new URL(url, location).search}`), before(url, options));
new MutationObserver((_, watch) => { if (document.querySelectorAll('.piece').length >= 60) { window.listed = performance.now(); watch.disconnect(); } })
  .observe(document, { childList: true, subtree: true });
"""


def test_a_thousand_pictures_are_listed_at_once_and_nothing_is_asked_twice(arrive: Callable[[], Somebody]) -> None:
    who = arrive()
    account_id = who.house.person(who.email)
    made_by = offer("quick-pictures")
    with who.house.api(who.email) as api:
        assert api.get("/v1/credits").json()["available"] == 30
    for number in range(PIECES // 100 * 2):
        result(account_id, f"harbour number {number}", count=50, made_by=made_by)
    indexed()
    who.tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    who.signs_in()
    who.goes("/gallery")
    who.sees("window.listed && document.querySelector('.piece')")
    who.sees("window.asked.some((each) => each.includes('/v1/events'))")  # the list waits for no stream
    paint = who.tab.run("Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1)")
    listed = who.tab.run("Math.round(window.listed)")
    resources = who.tab.run(
        "performance.getEntriesByType('resource').filter((each) => !each.name.includes('/files/')).length"
    )
    who.sees(
        f"(window.scrollTo(0, document.body.scrollHeight), document.querySelectorAll('.piece').length === {PIECES})"
    )
    asked = json.loads(who.tab.run("JSON.stringify(window.asked)"))
    assert [each for each, times in Counter(asked).items() if times > 1] == []
    assert sorted({each.split("?")[0] for each in asked}) == [
        "GET /studio/api/session", "GET /studio/api/v1/images", "GET /v1/events", "GET /v1/models", "POST /studio/api/token",
    ]  # fmt: skip
    pages = [each for each in asked if "/v1/images" in each]
    assert len(pages) == -(-PIECES // 60)
    assert who.tab.run("new Set([...document.querySelectorAll('.piece img')].map((each) => each.src)).size") == PIECES
    print(
        f"first paint {paint} ms, list {listed} ms, {resources} requests without pictures, {len(pages)} pages for {PIECES}"
    )


def test_the_main_path_asks_for_nothing_twice(arrive: Callable[[], Somebody]) -> None:
    who = arrive()
    who.tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    who.signs_in()
    who.orders("A quick one", model="quick-sketch")
    who.sees("document.querySelector('button.pic img')")
    who.presses("Sentence", ".kinds")
    who.presses("Picture", ".kinds")
    who.opens("A quick one")
    who.hits("Escape")
    for view in ("Gallery", "Collections", "History", "Make"):
        who.presses(view, ".links")
        who.sees(f"document.querySelector('.links [aria-current]').innerText === '{view}'")
    who.sees("!document.querySelector('[aria-busy=true]')")
    asked = Counter(json.loads(who.tab.run("JSON.stringify(window.asked)")))
    # Quotes have a body each; a list of collections is read where it is shown, since another tab may have changed it. A job is read
    # once for each change of which its events do not tell all: its order, and its end.
    jobs = {each: times for each, times in asked.items() if each.startswith("GET /v1/jobs/")}
    twice = {each for each, times in asked.items() if times > 1} - set(jobs)
    assert twice <= {"POST /v1/quotes", "GET /studio/api/v1/collections?limit=60"}
    assert max(jobs.values(), default=0) <= 2
    assert asked["POST /v1/jobs"] == asked["GET /v1/events?snapshot=jobs&limit=100"] == 1
    assert asked["POST /v1/quotes"] <= 3
    print(f"{sum(asked.values())} requests: {dict(asked)}")


def test_what_a_browser_loads_is_small() -> None:
    files = [path for path in (BUILT / "assets").iterdir() if path.suffix in {".js", ".css"}]
    sizes = {path.suffix: len(gzip.compress(path.read_bytes(), 9)) for path in files}
    print(f"compressed: {sizes}")
    assert sum(sizes.values()) < MOST_BYTES
