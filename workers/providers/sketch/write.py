"""Texts: what is long is summarised by its own sentences, what is short is answered. The same input gives the same text.

A summary is extractive: sentences are ranked as TextRank ranks them, by how much they have in common with the others
(TF-IDF), leaning towards what `system` asks for, and the best are given in the order in which they stand in the text.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

SUMMARISED_SENTENCES = 4  # a prompt of more is a text to be summarised
SUMMARY_SENTENCES = 4
SENTENCES_LIMIT = 2000  # which are ranked; the rest of a text is not read
SENTENCE_TOKENS = (4, 120)  # others are headings, tables and the like, and are no part of a summary
PLACES = 2048  # of words in a sentence's vector
ROUNDS, DAMPING = 40, 0.6  # less than the usual 0.85, so that what is asked for counts
SHORT_LETTERS = 3  # Latin words of so few letters join sentences and say nothing of them
USUAL_TOKENS = 200
TOKEN = re.compile(r"\w+|[^\w\s]")
OPENINGS = (
    "This is a sketch of an answer about {0}.",
    "Here is what can be said about {0} without knowing anything.",
    "A few words on {0}, drawn from the question itself.",
)
MIDDLES = (
    "It begins with {1}, and from there {0} takes its shape.",
    "Whoever asks about {0} sooner or later comes to {1}.",
    "Between {0} and {1} lies most of what matters.",
    "First comes {1}; then {0} explains the rest.",
)
ENDINGS = (
    "A real model, once one is set up, would go on from here.",
    "What is true of it, a model that has read about it would tell.",
    "The same question gives these same words, so that a product can be built on them.",
)


def text(values: Mapping[str, Any], go_on: Callable[[], None] = lambda: None) -> str:
    """An answer: input {prompt, system, max_tokens, seed}. `go_on` raises when it is to stop. Raises ValueError: no prompt."""
    prompt, system = str(values.get("prompt") or ""), str(values.get("system") or "")
    if not prompt.strip():
        raise ValueError("input.prompt is empty")
    most = int(values.get("max_tokens") or USUAL_TOKENS)
    go_on()
    sentences = _sentences(prompt)
    if len(sentences) > SUMMARISED_SENTENCES:
        return cut(_summary(sentences, system, most), most)
    return cut(_answered(prompt, int(values.get("seed") or 0)), most)


def tokens(said: str) -> int:
    """How many tokens a text has: words and signs, whatever the language."""
    return sum(1 for _ in TOKEN.finditer(said))


def cut(said: str, most: int) -> str:
    """The text's first so many tokens."""
    for number, found in enumerate(TOKEN.finditer(said), 1):
        if number == most:
            return said[: found.end()]
    return said


def pieces(said: str) -> list[str]:
    """A text in pieces to be told one by one, each a word with what follows it."""
    places = [0, *(found.end() for found in re.finditer(r"\S+\s*", said))]
    return [said[begin:end] for begin, end in pairwise(places)]


def _sentences(prompt: str) -> list[str]:
    from sentencex import segment  # noqa: PLC0415 - four megabytes, loaded only where a text is written

    # Lines may be broken anywhere; an empty one, and a heading's or a table's end, is the end of a sentence.
    parts = (part for block in re.split(r"\n\s*\n|\n(?=[#|>*-])", prompt) for part in segment("en", block))
    return [each for part in parts if (each := " ".join(part.split()))][:SENTENCES_LIMIT]


def _summary(sentences: Sequence[str], system: str, most: int) -> str:
    low, high = SENTENCE_TOKENS
    fitting = [each for each in sentences if low <= tokens(each) <= high] or list(sentences)
    ranks = _ranked(fitting, system)
    chosen, room = list[int](), most
    for place in sorted(range(len(fitting)), key=lambda place: (-round(float(ranks[place]), 9), place)):
        length = tokens(fitting[place])
        if chosen and (length > room or len(chosen) == SUMMARY_SENTENCES):
            break
        chosen.append(place)
        room -= length
    return " ".join(fitting[place] for place in sorted(chosen))


def _ranked(sentences: Sequence[str], system: str) -> NDArray[np.float64]:
    """How much each sentence says of them all, and of what is asked for. No table of all pairs is made: what flows from
    sentence to sentence flows through their words.
    """
    vectors = _vectors([*sentences, system])
    texts, asked = vectors[:-1], vectors[-1]
    start = texts @ asked + 1e-3
    start /= start.sum()
    own = (texts * texts).sum(axis=1)  # a sentence's likeness to itself, which does not count
    sums = texts @ texts.sum(axis=0) - own
    alone = sums <= 1e-9
    ranks: NDArray[np.float64] = start
    for _ in range(ROUNDS):
        given = np.where(alone, 0, ranks / np.where(alone, 1, sums))
        flown = texts @ (given @ texts) - given * own
        ranks = DAMPING * (flown + ranks[alone].sum() * start) + (1 - DAMPING) * start
    return ranks


def _vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """A row of length 1 for each text: its words, the rarer the heavier. Words share places, of which there are enough."""
    counted = [Counter(crc32(word.encode()) % PLACES for word in _words(each)) for each in texts]
    found = np.zeros((len(texts), PLACES))
    for row, counts in enumerate(counted):
        for place, count in counts.items():
            found[row, place] = count
    texts_with = np.count_nonzero(found, axis=0)
    found *= np.where(texts_with > len(texts) / 2, 0, np.log((1 + len(texts)) / (1 + texts_with)))  # "the" says nothing
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(lengths > 0, lengths, 1)


def _words(said: str) -> list[str]:
    found = (each.lower() for each in re.findall(r"\w+", said))
    return [each for each in found if len(each) > SHORT_LETTERS or not each.isascii() or each.isdigit()]


def _answered(prompt: str, seed: int) -> str:
    """A few sentences about a prompt's longest words, chosen by its letters."""
    words = sorted(dict.fromkeys(re.findall(r"\w+", prompt)), key=len)[::-1]
    first, second, *_ = (*words, "it", "the question") if words else ("it", "the question")
    dice = hashlib.sha256(f"{seed}\n{prompt}".encode(errors="replace")).digest()
    middle = dice[1] % len(MIDDLES)
    chosen = (OPENINGS[dice[0] % len(OPENINGS)], MIDDLES[middle], MIDDLES[(middle + 1 + dice[2] % 3) % len(MIDDLES)],
              ENDINGS[dice[3] % len(ENDINGS)])  # fmt: skip
    return " ".join(each.format(first, second) for each in chosen)
