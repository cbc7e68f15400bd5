"""The studio in a real browser, as somebody uses it."""

from collections.abc import Callable

import pytest

from tests.api.console.house import AXE, serious
from tests.studio.house import Somebody, needs_studio
from tests.support import eventually

Arrive = Callable[[], Somebody]
pytestmark = needs_studio


def test_a_picture_is_priced_ordered_watched_and_seen(arrive: Arrive) -> None:
    who = arrive()
    who.signs_in()
    who.has(30)
    who.reads("You will have 27 left.")
    who.orders("A harbour at dawn")
    who.has(27)
    who.sees("/Being made|in line/.test(document.querySelector('.doing')?.innerText)")
    who.sees("document.querySelector('.piece progress')?.value > 0")
    who.sees("document.querySelector('button.pic img')?.naturalWidth > 0 && !document.querySelector('.doing')")
    who.opens("A harbour at dawn")
    who.sees("document.querySelector('.stage img')?.naturalWidth === 1024")
    who.sees("document.querySelector('.look .tell').innerText.includes('Atelier')")
    who.hits("Escape")
    who.sees("!document.querySelector('dialog')")


def test_a_sentence_is_read_while_it_is_written_and_a_film_is_stopped_or_seen(arrive: Arrive) -> None:
    who = arrive()
    who.signs_in()
    who.orders("a mill at the end of a long canal", "Sentence")
    who.sees("document.querySelector('.doing .sheet')?.innerText.length > 10")
    who.sees("document.querySelector('button.pic .sheet')?.innerText.length > 40")
    who.has(29)
    who.orders("Sunset over the sea", "Film")
    who.has(24)
    who.presses("Stop: Sunset over the sea")
    who.reads("Stopped. Its credits are back.")
    who.has(29)
    who.orders("Sunset over the harbour", "Film")
    who.opens("Sunset over the harbour", "Film")
    who.sees("document.querySelector('.stage video')?.readyState > 0")
    assert who.tab.run("Math.round(document.querySelector('.stage video').duration)") == 5


def test_what_fails_is_said_kindly_given_back_and_tried_again(arrive: Arrive) -> None:
    who = arrive()
    who.signs_in()
    who.orders("What cannot be drawn", model="misfire")
    who.reads("Not made: something went wrong where it is made.")
    who.reads("3 credits given back")
    who.has(30)
    with who.house.api(who.email) as api:
        first = api.get("/v1/jobs").json()["data"][0]["id"]
        who.presses("Try again: What cannot be drawn")
        eventually(lambda: len(api.get("/v1/jobs").json()["data"]) == 2, what="another try")
        assert first in [job["retry_of"] for job in api.get("/v1/jobs").json()["data"]]
    who.sees("document.querySelectorAll('.doing.sad').length === 1")


def test_without_credits_one_buys_and_the_balance_rises_by_itself(arrive: Arrive) -> None:
    who = arrive()
    who.signs_in()
    for words in ("Ice and mountains", "A bay from above"):
        who.chooses("Pictures", "4")
        who.reads("Make for 12 credits")
        who.orders(words)
        who.sees(f"document.querySelector('#main').innerText.includes({words!r})")
    who.has(6)
    who.tab.run("window.stays = true")
    who.presses("Buy credits to make this")
    who.reads("You have 6. Credits last a year.")
    who.presses("80 credits$10.00", "dialog")
    who.presses("Go to the checkout")
    who.reads("Waiting for the payment of $10.00.")
    checkout = who.tab.another()
    checkout.go(who.tab.run("document.querySelector('dialog a.primary').href"))
    assert "Pay 10" in checkout.run("document.body.innerText")
    checkout.run("document.querySelector('button').click()")
    who.reads("80 credits have come. You have 86.")
    who.has(86)
    assert who.tab.run("window.stays") is True
    eventually(lambda: checkout.run("location.pathname") == "/studio/paid", what="the way back")
    who.presses("Done")
    who.orders("A third one")
    who.has(74)


def test_what_was_made_is_found_collected_and_shared_with_those_who_have_no_account(arrive: Arrive) -> None:
    who = arrive()
    who.signs_in()
    for words in ("A lighthouse in fog", "Dunes in late sun"):
        who.orders(words, model="quick-sketch")
        who.sees(f"document.querySelector('.gal').innerText.includes({words!r}) && !document.querySelector('.doing')")
    with who.house.api(who.email) as api:
        eventually(lambda: len(api.get("/v1/images").json()["data"]) == 2, what="the gallery's duty")
    who.presses("Gallery", ".links")
    who.sees("document.querySelectorAll('button.pic').length === 2")
    who.writes("#find", "lighthouse")
    who.sees("document.querySelectorAll('button.pic').length === 1 && location.search === '?q=lighthouse'")
    who.opens("A lighthouse in fog")
    who.presses("Like")
    who.sees("document.querySelector('[aria-pressed=true]') && document.body.innerText.includes('Liked')")
    who.hits("Escape")
    who.presses("Collections", ".links")
    who.writes("#new-name", "Harbours before six")
    who.presses("Create")
    who.reads("“Harbours before six” is there.")
    who.presses("Gallery", ".links")
    who.opens("A lighthouse in fog")
    who.sees("document.querySelector('.look').innerText.includes('Liked')")
    who.presses("Put in")
    who.reads("It is in “Harbours before six”.")
    who.hits("Escape")
    who.presses("Collections", ".links")
    who.reads("1 piece")
    who.tab.run("document.querySelector('.shelf a').click()")
    who.sees("document.querySelectorAll('button.pic').length === 1")
    who.presses("Share")
    who.sees("document.querySelector('.url input').value.includes('/shared/')")
    link = who.tab.run("document.querySelector('.url input').value")
    who.tab.call("Network.clearBrowserCookies")
    stranger = who.tab.another()
    stranger.go(link)
    assert "Harbours before six" in stranger.run("document.body.innerText")
    assert stranger.run("[...document.images].filter((each) => each.naturalWidth > 0).length") >= 1
    stranger.go(f"{who.house.url}/")
    eventually(lambda: "Sign in" in stranger.run("document.body.innerText"), what="the way in")


def test_history_lists_every_order_and_is_filtered(arrive: Arrive) -> None:
    who = arrive()
    who.signs_in()
    who.orders("What cannot be drawn", model="misfire")
    who.orders("A quick one", model="quick-sketch")
    who.presses("History", ".links")
    who.sees("document.querySelectorAll('tbody tr').length === 2")
    who.sees("document.querySelector('tbody').innerText.includes('3 given back')")
    who.chooses("State", "succeeded")
    who.sees(
        "document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody').innerText.includes('A quick one')"
    )
    who.chooses("Made with", "misfire")
    who.reads("No such orders")


def test_two_tabs_see_the_same_and_the_second_asks_for_no_stream(arrive: Arrive) -> None:
    one = arrive()
    one.signs_in()
    other = Somebody(one.house, one.tab.another(), one.email)
    other.goes("/")
    other.has(30)
    one.orders("A harbour for two", model="quick-sketch")
    for who in (one, other):
        who.has(29)
        who.sees("document.querySelector('button.pic img')")
    streams = "performance.getEntriesByType('resource').filter((each) => each.name.includes('/v1/events')).length"
    assert other.tab.run(streams) == 0


def test_everything_up_to_the_order_is_done_by_keyboard(arrive: Arrive) -> None:
    who = arrive()
    who.goes("/")
    who.sees("document.querySelector('#email')")
    who.tabs_to("#email")
    who.tab.call("Input.insertText", text=who.email)
    who.hits("Enter")
    who.has(30)
    who.tab.run("document.activeElement.blur()")
    who.hits("Tab")
    who.tabs_to(".skip")
    who.hits("Enter")
    who.tabs_to("input[name=kind]")
    who.hits("ArrowRight")
    who.sees("document.querySelector('.kinds :checked').closest('label').innerText === 'Film'")
    who.reads("Make for 5 credits")
    who.tabs_to("#words")
    who.tab.call("Input.insertText", text="By keys alone")
    who.tabs_to(".knobs button")
    who.hits("Enter")
    who.has(25)
    who.tabs_to("[aria-label='Stop: By keys alone']")
    who.hits(" ")
    who.has(30)
    who.tabs_to("#find")
    who.tab.call("Input.insertText", text="keys")
    who.hits("Enter")
    who.sees("location.pathname === '/studio/gallery' && document.activeElement.innerText === 'Gallery'")


def rests(who: Somebody) -> None:
    """Until no colour is on its way to another: what is seen in between has no contrast of its own."""
    who.sees(
        "document.getAnimations().every((each) => each.playState !== 'running' || each.effect.getTiming().iterations === Infinity)"
    )


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core on this machine: make tools")
def test_axe_finds_nothing_serious_in_any_view(arrive: Arrive) -> None:
    who = arrive()
    who.goes("/")
    who.sees("document.querySelector('#email')")
    found = serious(who.tab, "sign in")
    who.signs_in()
    who.orders("A quick one", model="quick-sketch")
    who.sees("document.querySelector('button.pic img')")
    who.orders("What cannot be drawn", model="misfire")
    who.sees("document.querySelector('.doing.sad')")
    with who.house.api(who.email) as api:
        made = api.post("/v1/collections", json={"name": "Harbours"}).json()["id"]
        eventually(lambda: len(api.get("/v1/images").json()["data"]) == 1, what="the gallery's duty")
    for theme, width in (("light", 1440), ("dark", 390)):
        who.tab.resize(width, 900)
        who.tab.run(f"localStorage.setItem('theme', '{theme}')")
        for place in (
            "/",
            "/gallery",
            "/gallery?q=nothing",
            "/collections",
            f"/collections/{made}",
            "/history",
            "/paid",
            "/none",
        ):
            who.goes(place)
            who.has(29)
            who.sees("!document.querySelector('[aria-busy=true]')")
            rests(who)
            found += serious(who.tab, f"{place} {theme} {width}")
            assert who.tab.run("document.documentElement.scrollWidth") <= width, place
        who.goes("/")
        who.opens("A quick one")
        rests(who)
        found += serious(who.tab, f"look {theme}")
        who.hits("Escape")
        who.presses("More choices")
        who.presses("Buy", ".purse")
        who.sees("document.querySelector('.packs label')")
        rests(who)
        found += serious(who.tab, f"buy {theme}")
    assert {(each[1], *each[3]) for each in found} == set(), found
