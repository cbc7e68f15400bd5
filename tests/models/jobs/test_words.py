"""A customer reads fixed sentences about failures, and of a provider only what is wrong with his own input."""

import re
from pathlib import Path

import pytest

from models.jobs import words
from models.jobs.words import ABOUT_FILES, ABOUT_INPUT, LOST, TEXTS, class_of, failure, waiting

MARKS = (
    "sk-proj-abcd1234efgh5678", "org-Marked123", "marked.inner.example", "10.20.30.40", "ops@marked.example",
    "/srv/marked/predict.py", "r8_Marked1234567890", "markedmarked1234567890abcd",
)  # fmt: skip
WORDS = (
    "Incorrect API key provided: sk-proj-abcd1234efgh5678 for org-Marked123 at http://marked.inner.example:8000/v1 "
    "(10.20.30.40:8000), ask ops@marked.example; /srv/marked/predict.py r8_Marked1234567890 markedmarked1234567890abcd"
)
ROOT = Path(__file__).resolve().parents[3]


def codes() -> set[str]:
    """Every code that an adapter or a step may give to a failure."""
    found: set[str] = set()
    for folder in ("workers", "storage"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            found |= set(re.findall(r'(?:ProviderError|UnusableResult|UnusableInput)\(\s*"([a-z_0-9]+)"', text))
            found |= set(re.findall(r'error_code="([a-z_]+)"', text))
    return found


@pytest.mark.parametrize("code", sorted({*TEXTS, *ABOUT_FILES, *codes(), "http_500", "runner_error", "", "anything"}))
def test_a_providers_words_on_keys_accounts_and_servers_reach_no_customer(code: str) -> None:
    for said in (WORDS, f"input.photo: {WORDS}", WORDS.upper(), WORDS[26:]):
        told_code, told = failure(code, said)
        assert told
        assert not [mark for mark in MARKS if mark.lower() in told.lower()]
        assert told_code in {*TEXTS, *ABOUT_FILES}
        assert failure(told_code, told) == (told_code, told)  # what is stored may be told again
        assert not [mark for mark in MARKS if mark.lower() in waiting(f"{code}: {said}").lower()]


def test_every_code_of_ours_has_a_sentence_of_its_own() -> None:
    assert {code for code in codes() if class_of(code) == "generation_failed"} <= {"generation_failed"}


@pytest.mark.parametrize(("code", "said", "told"), [
    ("invalid_input", "prompt is longer than 4000 characters", "prompt is longer than 4000 characters"),
    ("invalid_input", "input.width must be a multiple of 8", "input.width must be a multiple of 8"),
    ("moderated", "Your request was rejected by our safety system.", "Your request was rejected by our safety system."),
    ("moderated", "rejected; write to help@openai.com, request req_0123456789abcdef01234567",
     "rejected; write to [mail], request ***"),
    ("invalid_input", "cannot load http://10.0.0.7:8000/models/x", "cannot load [address]"),
    ("invalid_input", "no LoRA at /srv/weights/secret.bin", "no LoRA at [path]"),
    ("invalid_input", "Incorrect API key provided", TEXTS["invalid_input"]),
    ("invalid_input", "you must be a member of an organization to use the API", TEXTS["invalid_input"]),
    ("invalid_input", "", TEXTS["invalid_input"]),
    ("unreachable", "input.photo: the host could not be reached, or broke off: ConnectError",
     "input.photo: the host could not be reached, or broke off: ConnectError"),
    ("unreachable", "the provider cannot be reached: ConnectError: gpu-7", TEXTS["unreachable"]),
    ("file_gone", "input.photo: the file is not here any more", "input.photo: the file is not here any more"),
])  # fmt: skip
def test_what_is_wrong_with_the_customers_own_input_is_told(code: str, said: str, told: str) -> None:
    assert failure(code, said) == (code, told)


@pytest.mark.parametrize(("code", "theirs"), [
    ("http_500", "provider_failed"), ("runner_disconnected", "generation_failed"), ("my_own_code", "generation_failed"),
    ("unauthorized", "unauthorized"), ("bad_route", "not_configured"), ("", "generation_failed"),
])  # fmt: skip
def test_a_code_is_one_of_ours(code: str, theirs: str) -> None:
    assert failure(code, "whatever") == (theirs, TEXTS[theirs])


@pytest.mark.parametrize(("reason", "told"), [
    ("full: painter has no free slot", "the provider has no free slot"),
    ("http_500: told to answer 500", TEXTS["provider_failed"]),
    ("limited: Rate limit reached for org-x", TEXTS["limited"]),
    ("its result is not here yet: the host 10.0.0.1 broke off", "its result is there, and is fetched again"),
    ("the provider could not be asked: unauthorized: key sk-1234", LOST),
    ("ReadTimeout", LOST),
    ("the worker stops", "another worker takes it"),
])  # fmt: skip
def test_why_a_job_waits_is_told_in_our_words(reason: str, told: str) -> None:
    assert waiting(reason) == told


def test_sentences_are_sentences_about_the_provider_and_not_about_an_input_that_was_good() -> None:
    assert TEXTS.keys() >= ABOUT_INPUT
    assert all(text == text.strip() and 5 < len(text) < 120 for text in (*TEXTS.values(), *words.WAITS.values()))
