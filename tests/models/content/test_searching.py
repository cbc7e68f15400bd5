"""Search: which articles come first, what is marked, and what nobody learns by asking."""

import re
from typing import Any

import pytest

from models.content import articles, searching
from models.content.searching import FoundArticle, prefix_of
from models.db import transaction
from tests.models.content import corpus
from tests.models.content.desk import BY, shown, written
from tests.support import one

pytestmark = pytest.mark.usefixtures("database")


def search(query: str, *, reads_on: bool = True, limit: int = 50, **which: Any) -> list[FoundArticle]:
    with transaction() as conn:
        return searching.search(conn, query, reads_on=reads_on, limit=limit, **which)


def titles(query: str, **which: Any) -> list[str]:
    return [found.top.title for found in search(query, **which)]


@pytest.fixture
def fifty(database: str) -> None:
    assert len(corpus.plant()) == 50


# What is asked for, and what comes first; where the order is a matter of taste, a set.
RELEVANCE: list[tuple[str, list[str] | set[str]]] = [
    ("diffusion model", ["Diffusion models explained"]),
    ("sampler steps", {"Noise schedules compared", "Faster sampling with distillation"}),
    ("copyright", ["Copyright and training data"]),
    ("training data", ["Copyright and training data"]),
    ('"fair use"', ["Copyright and training data"]),
    ('"use fair"', []),
    ("AI Act", ["The European AI Act enters into force"]),
    ("cloned voice", {"Speech synthesis with a cloned voice", "Detecting cloned voices"}),
    ("clone voice -watermark", ["Speech synthesis with a cloned voice"]),
    ("teacher", ["Teachers and chatbots"]),
    ("homework", ["Teachers and chatbots"]),
    ("quantis", ["Quantisation to four bits"]),
    ("hallucinations", ["Measuring hallucination"]),
    ("x-rays fractures", ["Reading X-rays"]),
    ("protein or tokeniser", {"Proteins by prediction", "Tokenisers and their price"}),
    ("prompt injection", ["Browsing the web safely"]),
    ("Indonesian", ["Prompting in Indonesian"]),
    ("storyb", ["Storyboards in an hour"]),
    ("generated images price", ["Pricing generated images"]),
    ("upscaling films grain", ["Upscaling old films"]),
    ("telephone", ["Models on the telephone", "Triage by telephone"]),
    ("zebra", []),
]  # fmt: skip


@pytest.mark.usefixtures("fifty")
def test_what_fits_best_comes_first() -> None:
    wrong = []
    for query, first in RELEVANCE:
        found = titles(query)
        top = found[: len(first)] if first else found
        if (set(top) if isinstance(first, set) else top) != first:
            wrong.append((query, found[:4]))
    assert wrong == []


@pytest.mark.usefixtures("fifty")
def test_a_title_counts_more_than_a_body_and_news_and_research_are_one_list() -> None:
    shown("Zeppelin", "A ship in the air.")
    shown("Ships", "Of these one is a zeppelin.", section="research", kind=None)
    assert titles("zeppelin") == ["Zeppelin", "Ships"]
    assert titles("zeppelin", section="research") == ["Ships"]
    with transaction() as conn:
        found = searching.search(conn, "speech", reads_on=True, limit=50)
    assert {each.top.section for each in found} == {"research"}


@pytest.mark.usefixtures("fifty")
def test_what_fits_is_marked_and_nothing_else_is_html() -> None:
    shown("Marks", "Some **bold** <b>words</b> about xylophones & more, 1 < 2, and a xylophone again.")
    excerpt = search("xylophone")[0].excerpt
    assert excerpt.count("<mark>xylophone") == 2
    assert "&amp; more, 1 &lt; 2, and" in excerpt
    assert re.findall("<[^>]*>", excerpt) == ["<mark>", "</mark>"] * 2
    assert "<mark>outliers</mark>" in search("outli")[0].excerpt


def test_of_what_is_premium_strangers_search_the_teaser_alone() -> None:
    shown("Open title", "Everybody reads about okapis here.")
    shown(
        "Closed title",
        "Only some read about okapis in this long text that says a lot more.",
        premium=True,
        teaser="A teaser.",
        tags=["zoo"],
    )
    assert titles("okapi", reads_on=False) == ["Open title"]
    assert sorted(titles("okapi")) == ["Closed title", "Open title"]
    for query in ("closed", "teaser", "zoo", "okapi or teaser", "-giraffe closed"):
        found = [each for each in search(query, reads_on=False) if each.top.premium]
        assert [each.top.title for each in found] == ["Closed title"], query
        assert "okapi" not in found[0].excerpt
    assert titles("teaser -okapi", reads_on=True) == []
    assert titles("teaser -okapi", reads_on=False) == ["Closed title"], "nor can it be found out by what is left out"


def test_only_what_is_shown_is_found() -> None:
    row = written("Quagga")
    assert titles("quagga") == []
    with transaction() as conn:
        articles.publish(conn, BY, row.id, at=one("select app_now() + interval '1 hour'")[0])
    assert titles("quagga") == []
    with transaction() as conn:
        articles.publish(conn, BY, row.id)
    assert titles("quagga") == ["Quagga"]
    with transaction() as conn:
        articles.delete_article(conn, BY, row.id)
    assert titles("quagga") == []


@pytest.mark.parametrize("query", [
    "'", '"', "\\", ":*", "a & | !", "!!!", "((", "<->", "-", "-x", "or", '"a', "%", "a:b", "😀", "مرحبا", "新闻", "\u202e", "a" * 200, "' or 1=1 --",
    "__", "a\\'b", "$$", "x:*", "not", "-- --", "''''", "a''b:*",
])  # fmt: skip
def test_whatever_is_asked_for_is_a_question(query: str) -> None:
    shown("Words", "Some words.")
    for asked in (query, f"words {query}", f"{query} words"):
        assert len(search(asked)) <= 1, "an answer, whichever"


def test_the_last_word_may_be_the_beginning_of_one_but_not_in_a_phrase_nor_after_a_minus() -> None:
    assert [prefix_of(each) for each in ("gen", "a gen", "a -gen", '"a gen', '"a b" gen', "g", "a:gen", "")] == [
        "gen", "gen", None, None, "gen", None, None, None,
    ]  # fmt: skip
    shown("Generation", "A.")
    assert titles("generati") == titles("gener") == titles("generations") == ["Generation"]
    assert titles('"generati') == []


@pytest.mark.usefixtures("fifty")
def test_pages_of_what_was_found_follow_each_other() -> None:
    whole = [found.top.id for found in search("one of five about")]
    walked, before = [], None
    while True:
        page = search("one of five about", limit=7, before=before)
        walked += [found.top.id for found in page]
        if len(page) < 7:
            break
        before = page[-1].rank, page[-1].top.id
    assert walked == whole
    assert len(set(walked)) == 50


@pytest.mark.usefixtures("fifty")
def test_of_a_word_that_many_have_the_newest_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MAX_RANKED", 10)
    newest = {title for title, _ in [*corpus.SUBJECTS["language"], *corpus.SUBJECTS["business"]]}
    assert set(titles("article")) == newest

    assert len(titles("article", section="research")) == 10
    assert titles("regulation") == titles("about regulation"), "ten and fewer are all ranked"
    assert len(titles("regulation")) == 5
    assert titles("zeppelin") == []


@pytest.mark.parametrize("language", ["english", "simple", "indonesian"])
def test_an_article_as_long_as_it_may_be_is_found_whatever_its_words(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from common.settings import settings

    monkeypatch.setenv("CONTENT_LANGUAGE", language)
    settings.cache_clear()
    letters = [chr(0x10400 + number) for number in range(40)]  # of four bytes each
    words = (a + b + c for a in letters for b in letters for c in letters)
    body = " ".join(word for word, _ in zip(words, range(24_990), strict=False)) + " hippogriff"
    assert 99_000 < len(body) <= 100_000
    shown("Long", body)
    assert titles("hippogriff") == ["Long"]
