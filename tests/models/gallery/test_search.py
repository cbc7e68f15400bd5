"""Searching prompts: what is found, in which order, and by whom."""

import random
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InvalidParameter
from common.settings import settings as deployment
from models.db import transaction
from models.gallery import search
from models.gallery.words import Term, fold, terms_of
from tests.conftest import environment
from tests.depth import examples
from tests.models.gallery.things import indexed, offer, publish, result
from tests.models.hands import change
from tests.support import account

pytestmark = pytest.mark.usefixtures("database")

# What the searches below are about, among 200 prompts; the rest is made of other words.
SOUGHT = {
    "dawn": "A fishing harbour at dawn, mist lifting off the water, oil on board",
    "dusk": "a harbour at dusk",
    "harbours": "three old harbours seen from the sea",
    "master": "Citrus and a jug on the harbour master's table, and behind it a very long room with many windows and pictures",
    "café": "Café façade in Málaga, naïve style",
    "cat": "a cat asleep on a red sofa",
    "catalogue": "a catalogue of red moths, engraved",
    "sofa": "a red sofa without anybody on it",
    "lights": "northern lights over the breakwater, time-lapse",
    "lit": "the lighthouse keeper's northern window",
    "fox": "the quick brown fox jumps",
    "browser": "brown quick foxes rest",
    "tokyo": "東京 の 夜 景",
    "straße": "Straße im Regen",
}
FILLER = ["granite", "ridge", "valley", "meadow", "orchard", "pebble", "lantern", "velvet", "copper", "ivory", "willow", "ember", "marble", "canyon", "prairie", "thistle", "heather", "saffron", "cobalt", "umber", "glacier", "tundra", "lagoon", "bamboo", "cedar", "maple", "juniper", "quartz", "basalt", "opal"]  # fmt: skip
# What is typed, and which of the above are found, the best first; a set where the order is not said.
TABLE: list[tuple[str, list[str] | set[str]]] = [
    ("dusk", ["dusk"]),
    ("harbour", {"dawn", "dusk", "harbours", "master"}),
    ("HARBOURS", {"dawn", "dusk", "harbours", "master"}),
    ("harbour dusk", ["dusk"]),
    ("harbour -dawn -master", {"dusk", "harbours"}),
    ('"northern lights"', ["lights"]),
    ('"lights northern"', []),
    ("northern", {"lights", "lit"}),
    ('"quick brown"', ["fox"]),
    ("quick brown fox", {"fox", "browser"}),
    ("cat", ["cat"]),
    ("cat*", {"cat", "catalogue"}),
    ("red -sofa", ["catalogue"]),
    ('red "red sofa"', {"cat", "sofa"}),
    ("cafe facade", ["café"]),
    ("CAFÉ malaga", ["café"]),
    ("naive", ["café"]),
    ("東京", ["tokyo"]),
    ("strasse", ["straße"]),
    ("harbuor dawn", ["dawn"]),
    ("lighthose", ["lit"]),
    ("nothern ligths", {"lights", "lit"}),
    ("xyzzyq", []),
    ("the of and", []),
    ("the of and -harbour", []),
    ("fish:* | !dawn & (", ["dawn"]),
]


def found(viewer: UUID, query: str, *, public: bool = False, limit: int = 100, **more: Any) -> list[search.Hit]:
    with transaction() as conn:
        return search.search(conn, viewer, query, public=public, limit=limit, **more)


def ids(hits: list[search.Hit]) -> list[UUID]:
    return [hit.item.id for hit in hits]


def corpus(who: UUID) -> dict[UUID, str]:
    """Two hundred prompts of an account: those that are sought, by id, among others."""
    made_by, chosen = offer(), random.Random(7)
    sought = {result(who, prompt, made_by=made_by): name for name, prompt in SOUGHT.items()}
    for _ in range(200 - len(sought)):
        result(who, " ".join(chosen.choices(FILLER, k=8)), made_by=made_by)
    indexed(*sought)
    return sought


def test_what_is_typed_finds_what_is_meant_among_two_hundred_prompts() -> None:
    who, other = account(amount=400), account(amount=9)
    sought = corpus(who)
    stranger = result(other, SOUGHT["dawn"])
    indexed(stranger)
    wrong = []
    for query, wanted in TABLE:
        names = [sought.get(each, "a filler") for each in ids(found(who, query))]
        if (set(names) if isinstance(wanted, set) else names) != wanted or len(names) != len(wanted):
            wrong.append(f"{query!r}: {names}, not {wanted}")
    assert not wrong, "\n".join(wrong)
    assert ids(found(other, "harbour")) == [stranger]
    assert ids(found(who, "harbour", public=True)) == []
    assert found(who, "harbour", kind="video") == []
    # A short prompt about it comes before a long one that also names it.
    assert sought[ids(found(who, "harbour"))[-1]] == "master"


def test_a_walk_along_a_search_meets_each_item_once() -> None:
    who = account(amount=50)
    for number in range(7):
        result(who, "a harbour " + "and a boat " * (number % 3))
    indexed()
    whole, walked, before = ids(found(who, "harbour")), list[UUID](), None
    while page := found(who, "harbour", before=before, limit=2):
        walked += [hit.item.id for hit in page]
        before = page[-1].rank, page[-1].item.id
    assert (walked, len(set(walked))) == (whole, 7)


@pytest.mark.parametrize("public", [False, True])
def test_of_a_word_that_very_many_have_the_newest_are_looked_through(
    monkeypatch: pytest.MonkeyPatch, public: bool
) -> None:
    who, other, made_by = account(amount=500), account(amount=50), offer()
    # The older ones fit better.
    made = [result(who, "a harbour" if n < 20 else f"a harbour with boat {n}", made_by=made_by) for n in range(30)]
    rare = [result(who, "a schooner", made_by=made_by) for _ in range(2)]
    secret = result(other, "a harbour", made_by=made_by)
    indexed(*made, *rare, secret)
    for each in (*made, *rare):
        publish(who, each)
    with psycopg.connect(deployment().database_url, autocommit=True) as conn:
        conn.execute("analyze gallery_items")
    whole = found(who, "harbour", public=public, limit=100)
    assert len(whole) == 30
    monkeypatch.setattr(search, "MANY", 20)
    monkeypatch.setattr(search, "MAX_NEWEST", 12)  # of which two are schooners
    newest = set(made[-10:])
    assert {hit.item.id for hit in found(who, "harbour", public=public, limit=10)} == newest
    assert {hit.item.id for hit in found(who, "harbour", public=public, kind="image", limit=10)} == newest
    assert {hit.item.id for hit in found(who, "schooner", public=public, limit=2)} == set(rare), (
        "few have it: all are read"
    )
    assert len(found(who, "harbour", public=public, limit=31)) == 30, "what comes behind the newest is read after all"
    # Page after page each is met once, first the newest.
    walked, before = list[UUID](), None
    while page := found(who, "harbour", public=public, before=before, limit=3):
        walked += ids(page)
        before = page[-1].rank, page[-1].item.id
    assert len(walked) == len(set(walked))
    assert secret not in walked


def test_of_many_matches_the_newest_are_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    who, made_by = account(amount=50), offer()
    made = [result(who, "a harbour and a boat", made_by=made_by) for _ in range(7)]
    best = result(who, "harbour", made_by=made_by)
    indexed(*made, best)
    for each in (*made, best):
        publish(who, each)
    monkeypatch.setattr(search, "MAX_RANKED", 4)
    for public in (False, True):
        hits = ids(found(who, "harbour", public=public))
        assert (hits[0], set(hits)) == (best, {best, *made[-3:]})


@pytest.mark.parametrize("many", [10**6, 0], ids=["few have it", "very many have it"])
@pytest.mark.parametrize("gone", ["banned", "deleted"])
def test_what_may_not_be_seen_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch, gone: str, many: int) -> None:
    who, spammer, made_by = account(amount=50), account(amount=50), offer()
    mine = result(who, "an ocean", made_by=made_by)
    spam = [result(spammer, "ocean ocean ocean", made_by=made_by) for _ in range(6)]
    indexed(mine, *spam)
    publish(who, mine)
    for each in spam:
        publish(spammer, each)
    monkeypatch.setattr(search, "MAX_RANKED", 3)
    monkeypatch.setattr(search, "MANY", many)
    assert mine not in ids(found(who, "ocean", public=True)), "the newest three"
    if gone == "banned":
        change("update users set banned = true where id = (select user_id from accounts where id = %s)", spammer)
    else:
        change("update assets set status = 'deleted', expired_at = app_now() where id = any(%s)", spam)
    assert ids(found(who, "ocean", public=True)) == [mine]


@pytest.mark.parametrize(
    "prompt", ["x.com/lighthouse's by the sea", "https://x.com/lighthouse\\ 'lighthouse':*", "lighthouse'&!(|"]
)
def test_whatever_is_in_a_public_prompt_a_mistyped_search_of_others_goes_on(prompt: str) -> None:
    who, other = account(amount=50), account(amount=50)
    item = result(who, prompt)
    indexed(item)
    publish(who, item)
    for query in ("lighthuose", "lighthose's"):
        assert set(ids(found(other, query, public=True))) <= {item}
        assert set(ids(found(who, query))) <= {item}


def test_a_mistyped_word_is_compared_with_those_of_its_kind() -> None:
    who, made_by = account(amount=50), offer()
    image, film = result(who, "a lighthouse", made_by=made_by), result(who, "a lighthose", media="video/mp4")
    indexed(image, film)
    assert ids(found(who, "lighthose", kind="image")) == [image]
    assert ids(found(who, "lighthose", kind="video")) == [film]


def test_own_and_public_prompts_are_searched_apart() -> None:
    who, other = account(amount=50), account(amount=50)
    mine, theirs, secret = (
        result(who, "a tall schooner"),
        result(other, "a tall schooner"),
        result(other, "a tall schooner"),
    )
    indexed(mine, theirs, secret)
    publish(other, theirs)
    assert (ids(found(who, "schooner")), ids(found(who, "schooner", public=True))) == ([mine], [theirs])
    assert set(ids(found(other, "schooner"))) == {theirs, secret}
    assert ids(found(who, "schoner", public=True)) == [theirs]
    publish(other, theirs, on=False)
    assert ids(found(who, "schooner", public=True)) == []
    change("update assets set expires_at = app_now() where id = %s", mine)
    assert ids(found(who, "schooner")) == []


def test_a_mistyped_word_is_compared_with_the_accounts_own_alone() -> None:
    who, other = account(amount=50), account(amount=50)
    mine = result(who, "a zeppelin over the harbour")
    indexed(mine, result(other, "a zepelin, and it is spelt so"))
    assert ids(found(who, "zepelin")) == [mine]
    assert ids(found(who, "zepelin", public=True)) == []


def test_a_word_as_an_accounts_own_in_a_prompt_reaches_nobody() -> None:
    who, thief = account(amount=50), account(amount=50)
    bait = result(thief, f"={who.hex} '={who.hex}' a harbour")
    indexed(bait)
    assert ids(found(who, "harbour")) == []
    assert ids(found(thief, f"={who.hex}")) == [bait]


def test_without_pg_trgm_mistyped_words_find_nothing_and_all_else_is_the_same() -> None:
    who = account(amount=50)
    item = result(who, "a harbour")
    indexed(item)
    assert ids(found(who, "harbuor")) == [item]
    with transaction() as conn:
        conn.execute("drop extension pg_trgm")
    assert (ids(found(who, "harbuor")), ids(found(who, "harbour"))) == ([], [item])


def test_another_language_knows_its_own_words() -> None:
    who = account(amount=50)
    with environment({"SEARCH_LANGUAGE": "german"}):
        item = result(who, "die alten Häuser am Fluss")
        indexed(item)
        assert ids(found(who, "haus")) == ids(found(who, "Häuser")) == ids(found(who, "alter fluss")) == [item]
        assert ids(found(who, "die")) == []


@pytest.mark.parametrize(("query", "word"), [
    ("", "no word"), ("  ", "no word"), ("-harbour", "no word"), ("!!! ***", "no word"), ('""', "no word"),
    ("a " * 101, "202 characters"), ("a " * 13, "13 terms"),
])  # fmt: skip
def test_a_search_for_nothing_or_too_much_is_refused(query: str, word: str) -> None:
    with pytest.raises(InvalidParameter, match=word):
        terms_of(query)


def test_terms_are_read_as_they_are_typed() -> None:
    assert terms_of('red "two  words" -"not this" begin* -no* it\'s open"') == [
        Term("red"), Term("two  words", phrase=True), Term("not this", phrase=True, without=True), Term("begin", prefix=True),
        Term("no", prefix=True, without=True), Term("it's"), Term("open"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query", ["red", "FOX", "running", "girl", "кот", "ЗАРЯ", "αθηνα", "猫", '"red fox"', "\u201cred\u201d"]
)
def test_signs_and_capitals_of_any_script_stand_in_no_words_way_in_a_database_of_locale_c(query: str) -> None:
    with transaction() as conn:
        assert conn.execute("select datctype from pg_database where datname = current_database()").fetchone() == ("C",)
    who = account(amount=9)
    item = result(who, "a \u201cred\u201d fox\u2014running\u2026 the girl\u2019s КОТ «заря» ΑΘΗΝΑ, 「猫」")
    indexed(item)
    assert ids(found(who, query)) == [item]


def test_accents_are_folded_and_other_scripts_are_left() -> None:
    assert fold("Ærøskøbing, Łódź, ﬁn, ĐẠI, Straße, ệ") == "aeroskobing, lodz, fin, dai, strasse, e"
    assert fold("हिन्दी 한국어 が") == "हिन्दी 한국어 が"


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_whatever_is_typed_is_searched_or_refused(database: str, query: str) -> None:
    with transaction() as conn:
        try:
            answer = search.search(conn, UUID(int=7), query, public=True)
        except InvalidParameter:
            return
    assert answer == []
