"""What a customer is told of a job that has failed, or that waits. Pure, and the one place that decides it.

A provider's own words may name its key, its organisation or a server of ours. They are for operators: an attempt keeps
them, and the log. A customer reads one fixed sentence for each class of failure. Only what is about the customer's own
input is said in the provider's words, since nobody else knows what is wrong with it: without addresses, keys and names
of servers, and not where they speak of keys or accounts after all.
"""

import re

from common.redact import for_strangers

ABOUT_INPUT = frozenset({"invalid_input", "moderated", "invalid_image", "unknown_voice"})
# Of a file that the input names: our own words, each beginning with `input.`.
ABOUT_FILES = frozenset(
    {"refused_address", "unreachable", "too_slow", "too_large", "bad_status", "bad_encoding", "empty_file", "broken_file",
     "unknown_file", "unwanted_file", "file_too_large", "file_gone", "invalid_data_uri", "storage_failed"}
)  # fmt: skip
WORDS_CHARACTERS = 300

TEXTS = {
    "generation_failed": "the generation failed at the provider",
    "provider_failed": "the provider failed",
    "interrupted": "the provider broke the generation off",
    "unreachable": "the provider could not be reached",
    "unauthorized": "the provider did not accept the key that it was asked with",
    "provider_unpaid": "the provider takes no orders under the key that it was asked with",
    "limited": "the provider has no room now",
    "not_found": "the provider does not know this model",
    "unknown_model": "the provider does not know this model",
    "unknown_job": "the provider does not know this generation any more",
    "unsupported": "the provider makes nothing of this kind",
    "not_configured": "this model is not set up completely",
    "canceled": "the generation was stopped at the provider",
    "timed_out": "it was not done in its time",
    "outcome_unknown": "the provider's answer was lost, and it could not be asked in time",
    "worker_lost": "the workers that looked after it were lost too often",
    "result_lost": "the result was there, and could not be had",
    "result_cut_off": "the result that came breaks off",
    "result_too_large": "the result is too large",
    "answer_too_large": "the provider's answer is too large",
    "unusable_answer": "the provider's answer cannot be used",
    "no_result_of_kind": "the provider answered with something else than what was ordered",
    "empty_result": "the result that came is empty",
    "broken_result": "the result that came is broken",
    "unknown_result": "the result that came is of no kind that is known",
    "unread_kind": "the result that came is of a kind that is not read here",
    "unexpected_page": "the provider answered with a page instead of a result",
    "never_began": "the call had not reached the provider",
    "storage_failed": "a file could not be stored or read",
    "internal_error": "an unexpected fault of ours",
    "invalid_input": "the provider refused the input",
    "moderated": "the provider refused the input or the result for what it shows",
    "invalid_image": "a picture of the input cannot be read",
    "unknown_voice": "there is no such voice",
    # the built-in provider's own, which are for trying things out
    "sketch_permanent": "this cannot be drawn",
    "sketch_retryable": "the pencil broke",
    "sketch_limited": "too many drawings at once",
    "speech_failed": "the text could not be spoken",
}
# What a job waits for besides, by the word before the colon of what its row says.
WAITS = {
    "resting": "the provider is rested after faults",
    "probing": "the provider is tried out after faults",
    "full": "the provider has no free slot",
    "rate": "the provider has been asked as often as it may",
    "paused": "the provider is paused by the operator",
    "its result is not here yet": "its result is there, and is fetched again",
    "its result is not stored yet": "its result is there, and is stored again",
    "its provider could not be asked": "the provider could not be asked, and is asked again",
    "the database did not take the job's end yet": "its end is written again",
    "a step failed": "an unexpected fault of ours; it is tried again",
    "the worker stops": "another worker takes it",
    "the job was canceled before the call": "it is being canceled",
    "an operator found that it never began": "it had not begun at the provider",
}
PAUSED = {
    "account": "the account is paused by the operator; the job keeps its place",
    "queue": "the queue is paused by the operator; the job keeps its place",
    "model": "the model is paused by the operator; the job keeps its place",
}
LOST = "an answer of the provider was lost, or is not known yet; it is asked again"

_SAME = {"unknown_provider": "not_configured", "bad_route": "not_configured", "provider_error": "provider_failed"}
_HTTP = re.compile(r"http_\d{3}")
_OF_THE_ACCOUNT = re.compile(
    r"\bapi[ _-]?keys?\b|\borgani[sz]ation|\borg-|\baccounts?\b|\bbilling|\bquota|\bcredentials?\b|\bpasswords?\b"
    r"|\bauthori[sz]|\bauthenticat|\bunauthori|\bpermissions?\b|\bproject\b|\bworkspace\b|\btenant\b|\bsubscription"
    r"|\bsk-|\bbearer\b|\bsecret key\b|\baccess key\b|\binvalid key\b|\bincorrect key\b|\btraceback\b",
    re.IGNORECASE,
)


def class_of(code: str) -> str:
    """The code that a customer reads: one of ours, whatever a provider calls its failure."""
    code = _SAME.get(code, "provider_failed" if _HTTP.fullmatch(code) else code)
    return code if code in TEXTS or code in ABOUT_FILES else "generation_failed"


def failure(code: str, words: str | None) -> tuple[str, str]:
    """The code and the sentence that a customer reads of a failure that is known under this code and in these words.

    What it answers says of itself the same again, so that what is stored may be put through it once more.
    """
    words, theirs = words or "", class_of(code)
    of_a_file = code in ABOUT_FILES and words.startswith("input.")
    if of_a_file or (code in ABOUT_INPUT and not _OF_THE_ACCOUNT.search(words)):
        shown = for_strangers(words)[:WORDS_CHARACTERS]
        if shown:
            return theirs, shown
    return theirs, TEXTS.get(theirs, TEXTS["generation_failed"])


def waiting(reason: str) -> str:
    """Why a job waits, for its customer; `reason` is what its row says to operators."""
    code, _, words = reason.partition(": ")
    if code in WAITS:
        return WAITS[code]
    known = code in TEXTS or code in ABOUT_FILES or code in _SAME or _HTTP.fullmatch(code)
    return failure(code, words)[1] if known and words else LOST
