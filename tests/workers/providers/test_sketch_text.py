"""Sketch writes: the same text for the same input, a summary of a text's own sentences, told as it is written."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.depth import examples
from tests.workers.providers.contract import Contract
from workers.providers.base import Done, Provider, ProviderError, Request
from workers.providers.sketch import Sketch, write
from workers.providers.sketch.book import Book

SITUATIONS: dict[str, dict[str, Any]] = {
    "at once": {"cost_usd_micros": 4},
    "polled": {"pending": True, "ready_seconds": 0.3, "poll_after_seconds": 0.1},
    "fails": {"fail": "permanent"},
    "fails and may be retried": {"fail": "retryable", "charge_on_failure": True, "cost_usd_micros": 4},
    "limited": {"fail": "limited", "retry_after_seconds": 1},
    "lost answer": {"forget": True},
    "slow": {"pending": True, "ready_seconds": 600},
}
WHEELS = (
    "Water wheels turn the mills of this valley. The wheels need water that falls on them evenly. When the water freezes, the "
    "wheels of the valley stand still. My aunt owns a red bicycle. In spring the water comes back and the wheels turn the mills "
    "again. Then the valley grinds the corn of the whole winter. Somebody once lost a hat."
)


class TestSketchText(Contract):
    LACKS = frozenset({"addressed", "unstorable refusal", "files"})

    @pytest.fixture(autouse=True)
    def _book(self, tmp_path: Path) -> None:
        self._book = Book(tmp_path / "book.db")
        self._provider = Sketch(self._book)

    def reached(self) -> int:
        return len(self._book.calls())

    def provider(self) -> Provider:
        return self._provider

    def request(self, situation: str, **changes: Any) -> Request:
        return Request("text", "text", {"prompt": "x"}, options=SITUATIONS[situation], **changes)


def start(values: dict[str, Any], **fields: Any) -> Done:
    done = Sketch().start(Request("text", "text", values, **fields), "job:1")
    assert isinstance(done, Done)
    return done


def read(done: Done) -> str:
    return b"".join(done.outputs[0].chunks()).decode()


def test_a_text_is_summarised_by_its_own_sentences_those_that_matter_in_their_order() -> None:
    text = read(start({"prompt": WHEELS}))
    sentences = [each.strip(" .") for each in text.split(". ")]
    places = [WHEELS.index(each) for each in sentences]
    assert places == sorted(places)
    assert 2 <= len(sentences) <= write.SUMMARY_SENTENCES
    assert "bicycle" not in text
    assert "a hat" not in text


def test_what_is_asked_for_decides_between_sentences() -> None:
    usual = read(start({"prompt": WHEELS, "max_tokens": 20}))
    asked = read(start({"prompt": WHEELS, "max_tokens": 20, "system": "Who owns which bicycle, which aunt, what red?"}))
    assert "bicycle" not in usual
    assert "bicycle" in asked


def test_a_broken_line_ends_no_sentence_and_an_empty_one_does() -> None:
    broken = WHEELS.replace(" need water", "\nneed water")
    assert read(start({"prompt": broken})) == read(start({"prompt": WHEELS}))
    assert "\n" not in read(start({"prompt": WHEELS.replace(". ", ".\n\n")}))


def test_the_same_input_is_the_same_text_in_another_process_and_another_seed_is_another() -> None:
    program = (
        "import sys;from workers.providers.sketch import write as w;"
        "print(w.text({'prompt':'What is a weir?','seed':3}));print(w.text({'prompt':sys.stdin.read()}))"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], input=WHEELS, capture_output=True, text=True, check=True
    ).stdout
    assert other.splitlines() == [write.text({"prompt": "What is a weir?", "seed": 3}), write.text({"prompt": WHEELS})]
    assert len({write.text({"prompt": "What is a weir?", "seed": seed}) for seed in range(20)}) > 5


def test_its_tokens_are_counted_and_limited() -> None:
    done = start({"prompt": "What is a weir?", "system": "Be short.", "max_tokens": 7})
    assert done.usage == {"tokens_in": 8, "tokens_out": 7, "tokens": 15}
    assert write.tokens(read(done)) == 7
    assert done.cost_usd_micros == 0
    assert done.outputs[0].claimed_media_type == "text/plain"


def test_it_is_told_word_by_word_for_as_long_as_it_takes() -> None:
    told: list[tuple[float, str]] = []
    begin = time.monotonic()
    options = {"delay_seconds": 0.6}
    done = start(
        {"prompt": "What is a weir?"}, options=options, said=lambda part: told.append((time.monotonic() - begin, part))
    )
    assert "".join(part for _, part in told) == read(done)
    assert len(told) > 20
    assert told[-1][0] - told[0][0] > 0.3
    assert told[-1][0] >= 0.55


def test_a_text_that_nobody_wants_any_more_stops() -> None:
    told: list[str] = []
    with pytest.raises(ProviderError) as caught:
        start({"prompt": "x"}, options={"delay_seconds": 30}, said=told.append, canceled=lambda: len(told) > 3)
    assert caught.value.code == "canceled"
    with pytest.raises(ProviderError) as caught:
        start({"prompt": "x"}, options={"delay_seconds": 30}, seconds_left=0.2)
    assert caught.value.code == "timed_out"


@pytest.mark.parametrize("values", [{}, {"prompt": ""}, {"prompt": " \n"}])
def test_without_a_prompt_there_is_no_text(values: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as caught:
        start(values)
    assert (caught.value.code, caught.value.retryable) == ("invalid_input", False)


def test_the_longest_text_takes_seconds_not_minutes() -> None:
    words = [f"word{number % 911}" for number in range(25_000)]
    text = " ".join(" ".join(words[at : at + 12]).capitalize() + "." for at in range(0, len(words), 12))[:200_000]
    begin = time.process_time()
    assert write.text({"prompt": text})
    assert time.process_time() - begin < 20


@settings(deadline=None, max_examples=examples(150))
@given(st.text(max_size=600).filter(lambda text: text.strip()), st.text(max_size=50), st.integers(1, 60))
def test_any_letters_make_a_text_within_its_limit(prompt: str, system: str, most: int) -> None:
    text = write.text({"prompt": prompt, "system": system, "max_tokens": most})
    assert text
    assert write.tokens(text) <= most
    assert "".join(write.pieces(text)) == text
