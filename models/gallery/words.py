"""Prompts as they are searched: which words a text has, and what a search asks for. Pure.

Accents are folded here, for prompts and searches alike, so that the database needs no extension for it.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from psycopg import sql

from common.errors import InvalidParameter

Kind = Literal["image", "video", "sound"]
KINDS: tuple[Kind, ...] = ("image", "video", "sound")
_MEDIA: dict[str, Kind] = {"image": "image", "video": "video", "audio": "sound"}

FOLDING = 2  # prompts that were read with another are read again
MAX_PROMPT = 10_000  # characters of a prompt that are searched
MAX_QUERY = 200
MAX_TERMS = 12

_MARKS = re.compile("[\u0300-\u036f]")  # the accents of Latin, Greek and Cyrillic; other scripts need their marks
_LETTERS = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "\u0131": "i", "\u2019": "'", "\0": " "}
)  # fmt: skip
_TERM = re.compile(r'(?P<no>-)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


class Term(NamedTuple):
    """One thing that a search asks for: words in a row, or the beginning of one; or that they are not there."""

    text: str
    prefix: bool = False
    phrase: bool = False
    without: bool = False


def kind_of(media_type: str) -> Kind | None:
    """What a stored result is in the gallery; None: it is nothing to look at or listen to."""
    return _MEDIA.get(media_type.partition("/")[0])


def media_of(kind: Kind) -> str:
    """The beginning of the media types of a kind."""
    return next(f"{media}/" for media, each in _MEDIA.items() if each == kind)


def prompt_of(values: Mapping[str, Any]) -> str | None:
    """What a job was asked to make, of its input."""
    found = values.get("prompt", values.get("text"))
    return found if isinstance(found, str) else None


def seed_of(values: Mapping[str, Any]) -> int | None:
    """The seed in a job's input."""
    found = values.get("seed")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def fold(text: str) -> str:
    """A text without accents and capitals, and with spaces for the signs that are not ASCII: to a database of locale C these are
    letters. Who changes this raises `FOLDING`.
    """
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", text.translate(_LETTERS)))
    folded = unicodedata.normalize("NFC", plain).lower()
    return "".join(" " if each > "\x7f" and unicodedata.category(each)[0] in "PSZ" else each for each in folded)


def terms_of(query: str) -> list[Term]:
    """What a search asks for: words, "words in a row", begin*, -without. Raises InvalidParameter."""
    if len(query) > MAX_QUERY:
        raise InvalidParameter(f"q has {len(query)} characters; the limit is {MAX_QUERY}", param="q")
    found = [term for each in _TERM.finditer(fold(query)) if (term := _term(each)) is not None]
    if len(found) > MAX_TERMS:
        raise InvalidParameter(f"q has {len(found)} terms; the limit is {MAX_TERMS}", param="q")
    if all(each.without for each in found):
        raise InvalidParameter("q has no word to look for", param="q")
    return found


def _term(found: re.Match[str]) -> Term | None:
    without = found["no"] is not None
    if found["phrase"] is not None:
        words = found["phrase"].strip()
        return Term(words, phrase=True, without=without) if re.search(r"\w", words) else None
    word = found["word"]
    begin = re.fullmatch(r"(\w+)\*", word)
    if begin:
        return Term(begin[1], prefix=True, without=without)
    return Term(word, without=without) if re.search(r"\w", word) else None


def query_of(terms: list[Term], language: str) -> tuple[sql.Composable, list[Any]]:
    """The text of a tsquery with its parameters: a term each, in a language. It is null where nothing is left of the words to
    look for, which were too common to be kept: what only must not be there would be found nearly everywhere.
    """
    (look, values), (never, more) = (
        _all([each for each in terms if each.without is no], language) for no in (False, True)
    )
    if not more:
        return sql.SQL("(select case when numnode(t) > 0 then t end from (select {} as t) as terms)").format(
            look
        ), values
    text = sql.SQL("(select case when numnode(t) > 0 then t && {} end from (select {} as t) as terms)")
    return text.format(never, look), [*more, *values]


def _beginning(word: str) -> str:
    """The text of a tsquery for what begins with a word, whatever is in it."""
    quoted = word.replace("\\", r"\\").replace("'", "''")
    return f"'{quoted}':*"


def _all(terms: list[Term], language: str) -> tuple[sql.Composable, list[Any]]:
    parts, values = list[sql.Composable](), list[Any]()
    for each in terms:
        function = "to_tsquery" if each.prefix else "phraseto_tsquery" if each.phrase else "plainto_tsquery"
        part = sql.SQL("{}(%s::text::regconfig, %s)").format(sql.SQL(function))
        parts.append(sql.SQL("!! {}").format(part) if each.without else part)
        values += [language, _beginning(each.text) if each.prefix else each.text]
    return sql.SQL("({})").format(sql.SQL(" && ").join(parts)), values
