"""What must not leave this process in words: keys, passwords, signed addresses. One place for logs, terminals and customers.

Two nets, since either has holes: what looks like a secret wherever it comes from, and the values themselves that this
deployment was given, whatever they look like.
"""

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote, unquote_plus

from dotenv import dotenv_values

from common.env_files import ENV_FILES

MARK = "***"
VALUE_CHARACTERS = 5  # a shorter value is in too many words to be taken out of them
LINE_CHARACTERS = 20_000  # what is longer is cut
STRANGERS_CHARACTERS = 1000  # the same of what a customer reads

_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSW|_KEY\b|_KEYS\b|_KEY_|APIKEY|CREDENTIAL|AUTHORIZATION|PRIVATE", re.IGNORECASE
)
_PUBLIC_NAME = re.compile(
    r"ACCESS_KEY_ID|KEY_CACHE|KEY_DAYS|KEY_ROTATION|IDEMPOTENCY_KEY|STREAM_TOKEN|KEY_HOURS", re.IGNORECASE
)
_WORD = re.compile(r"[a-z]{1,8}")  # such as "postgres": it stands in every second line, and is guessed at once
_WITH_LOGIN = re.compile(r"^[a-z][a-z0-9+.-]*://(?P<user>[^:@/]*):(?P<password>.*)@[^@]*$", re.IGNORECASE | re.DOTALL)

_ANY = re.IGNORECASE
# Bounded or possessive, so that a line that was made for it takes no long time.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ of an address, however odd the password is; and what libpq calls it
    (re.compile(r"(?P<a>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@'\"]{0,100}:)[^\s'\"<>]{0,500}@", _ANY), rf"\g<a>{MARK}@"),
    (re.compile(r"(?P<a>\b[a-z][a-z0-9+.-]{0,30}://)[^\s/:@'\"]{8,200}@", _ANY), rf"\g<a>{MARK}@"),
    (re.compile(r"(?P<a>\b(?:pass(?:word|wd|phrase)?|pgpassword|secret|requirepass)\s{0,3}[=:]\s{0,3})"
                r"(?:'[^']{1,500}'|\"[^\"]{1,500}\"|[^\s,;&)}\]]++)", _ANY), rf"\g<a>{MARK}"),
    # what signs an address, or is the address' own secret
    (re.compile(r"(?P<a>[?&;](?:amp;)?(?:[a-z_-]{0,30}(?:signature|credential|token|secret|password|api[_-]?key|hmac)"
                r"|[a-z]{0,10}accesskeyid|sig|key|auth|policy|key-pair-id|x-amz-[a-z-]{1,30}|x-goog-[a-z-]{1,30})=)"
                r"[^&\s'\"<>]++", _ANY), rf"\g<a>{MARK}"),
    (re.compile(r"(?P<a>/(?:files|hooks/providers)/)(?!file_)[A-Za-z0-9_.=~-]{16,}+"), rf"\g<a>{MARK}"),
    # headers, and keys that are known by how they begin or by being shown by half
    (re.compile(r"(?P<a>\b(?:authorization|x-api-key|api-key|cookie|webhook-signature)['\"]?\s{0,3}[:=,]\s{0,3}(?:b?['\"])?)"
                r"(?:(?:bearer|basic|convex|key|token)\s+)?[^\s'\",;)]++", _ANY), rf"\g<a>{MARK}"),
    (re.compile(r"(?P<a>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=*-]{6,}+", _ANY), rf"\g<a>{MARK}"),
    (re.compile(r"\b(?:sk|pk|rk|hr|r8|whsec|gh[opsu]|hf|xox[abp]|org|proj)[-_][A-Za-z0-9*._-]{4,}+"), MARK),
    (re.compile(r"\b(?:AKIA|ASIA|eyJ)[A-Za-z0-9*._=-]{12,}+"), MARK),
    (re.compile(r"(?<![\w-])[A-Za-z0-9_-]{2,12}+\*{3,}+[A-Za-z0-9_-]{0,12}"), MARK),
)  # fmt: skip

_PRIVATE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)]+", re.IGNORECASE), "[address]"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*"), "[mail]"),
    (re.compile(r"(?<![\w/])/(?:[\w.@-]+/)+[\w.@-]+"), "[path]"),
    (re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"), "[address]"),
    (re.compile(r"(?<![\w:])\[?(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}\]?(?::\d+)?(?![\w:])", re.IGNORECASE), "[address]"),
    (re.compile(r"\b[\w-]+(?:\.[\w-]+)*:\d{2,5}\b"), "[address]"),
    (re.compile(r"\b(?:[\w-]+\.)+(?:internal|local|localdomain|lan|corp|intranet|home|svc|cluster|example|[a-z]{2,3})\b(?!\()",
                re.IGNORECASE), "[address]"),
    (re.compile(r"\blocalhost\b", re.IGNORECASE), "[address]"),
    (re.compile(r"\b[A-Za-z]*\d[A-Za-z0-9_-]{19,}\b|\b(?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{24,}\b"), MARK),  # ids and keys
)  # fmt: skip


def redacted(text: str) -> str:
    """A text for our own logs and terminals: without keys, passwords and what signs an address."""
    for value in _values():
        text = text.replace(value, MARK)
    return "\n".join(_cleaned(line[:LINE_CHARACTERS], _SECRETS) for line in text.split("\n"))


def for_strangers(text: str) -> str:
    """A text of somebody else's for a customer: without addresses, names of servers, mail, paths and ids besides."""
    return " ".join(_cleaned(redacted(text[:STRANGERS_CHARACTERS]), _PRIVATE).split())


def _cleaned(text: str, patterns: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, put in patterns:
        text = pattern.sub(put, text)
    return text


def secrets_in(environment: Mapping[str, str]) -> set[str]:
    """The secret values of an environment: of variables whose name says so, and the passwords in addresses."""
    found: set[str] = set()
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and not _PUBLIC_NAME.search(name):
            found |= {value, *(part.strip() for part in value.split(","))}  # two, while one is changed for the other
        # One without its scheme is a mistake, and still a secret.
        given = value.strip()
        login = _WITH_LOGIN.match(given if "://" in given or not name.endswith("URL") else f"none://{given}")
        if login is not None:
            # A server's error may name a part of a password that was not quoted (`invalid port: "word@host"`).
            found |= {value, *_spellings([login["password"], *re.split(r"[/?#@:\[\]]", login["password"])])}
        elif "password=" in value:
            found |= set(re.findall(r"password='?([^'\s&]+)", value))
    return {value for value in found if len(value) >= VALUE_CHARACTERS and not _WORD.fullmatch(value)}


def forget() -> None:
    """Look at the environment anew at the next text."""
    _values.cache_clear()


def _spellings(passwords: Iterable[str]) -> set[str]:
    return {spelt for each in passwords for spelt in (each, unquote(each), unquote_plus(each))}


@lru_cache(maxsize=1)
def _values() -> tuple[str, ...]:
    environment: dict[str, str] = {}
    for file in ENV_FILES:
        environment |= {name: value for name, value in dotenv_values(file).items() if value is not None}
    found = secrets_in(environment) | secrets_in(os.environ)
    return tuple(sorted(found, key=len, reverse=True))
