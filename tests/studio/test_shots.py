"""Pictures of the studio, for docs/pictures: HEADRACE_PICTURES says where they are written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.studio.starting import FIRST_ORDERS, PERSON, order_first, seed
from tests.api.console.test_shots import WIDTHS, write_small
from tests.studio.house import Somebody, StudioHouse, needs_studio
from tests.support import eventually

FOLDER = os.environ.get("HEADRACE_PICTURES")
pytestmark = [
    needs_studio,
    pytest.mark.skipif(FOLDER is None, reason="HEADRACE_PICTURES names no folder"),
    pytest.mark.timeout(600),
]


def test_pictures_are_taken(studio: StudioHouse, arrive: Callable[[], Somebody]) -> None:
    assert FOLDER is not None
    folder = Path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    seed()
    order_first(studio.system.url, studio.key)
    who = Somebody(studio, arrive().tab, PERSON)
    with studio.api(PERSON) as api:
        done = {"status": "succeeded", "limit": 100}
        eventually(lambda: len(api.get("/v1/jobs", params=done).json()["data"]) == len(FIRST_ORDERS), seconds=90)
        api.post("/v1/jobs", json={"model": "misfire", "input": {"prompt": "Alpine ridge at blue hour"}})
        eventually(lambda: len(api.get("/v1/images").json()["data"]) == 7, what="the gallery's duty")
        made = api.post("/v1/collections", json={"name": "Harbours before six"}).json()["id"]
        items = [each["id"] for each in api.get("/v1/images").json()["data"]]
        api.post(f"/v1/collections/{made}/items", json={"items": items}).raise_for_status()
        _photograph(who, folder, "enter", "/", "#email")
        who.signs_in()
        for theme in ("light", "dark"):
            who.tab.run(f"localStorage.setItem('theme', '{theme}')")
            for prompt in ("Slow push-in over a harbour at dawn", f"Two boats in the strait, {theme}"):
                api.post("/v1/jobs", json={"model": "reel", "input": {"prompt": prompt, "duration_seconds": 5}})
            who.goes("/")
            who.writes("#words", "A net loft above the harbour, morning light through dusty glass")
            who.chooses("Pictures", "2")
            who.reads("Make for 6 credits")
            who.sees("[...document.querySelectorAll('.doing progress')].some((each) => each.value > 20)")
            _photograph(who, folder, f"make-{theme}")
            who.opens("A fishing harbour at dawn, mist lifting off the water")
            _photograph(who, folder, f"look-{theme}")
            who.goes("/")
            who.presses("Buy", ".purse")
            _photograph(who, folder, f"buy-{theme}", there=".packs label")
            who.goes("/")
            who.presses("More choices")
            _photograph(who, folder, f"more-{theme}")
            for name, place, there in (
                ("gallery", "/gallery", ".piece img"), ("collections", "/collections", ".shelf img"), ("collection", f"/collections/{made}", ".piece img"),
                ("history", "/history", "tbody tr"),
            ):  # fmt: skip
                _photograph(who, folder, f"{name}-{theme}", place, there)


def _photograph(who: Somebody, folder: Path, name: str, place: str = "", there: str = "#main") -> None:
    if place:
        who.goes(place)
    who.sees(f"document.querySelector({there!r})")
    for width, height in WIDTHS.items():
        who.tab.resize(width, height)
        who.sees(
            "[...document.images].filter((each) => each.getBoundingClientRect().top < innerHeight).every((each) => each.complete)"
        )
        assert who.tab.run("document.documentElement.scrollWidth") <= width, f"{name} at {width}"
        write_small(folder / f"{name}-{width}.png", who.tab.picture())
    who.tab.resize(1440, 1000)
