"""Signed tokens: those that were given out keep working, and none passes for one of another purpose."""

import base64
import string
from itertools import permutations
from uuid import UUID

import pytest

from api.results import asset_of
from api.v1.events import make_token as stream_token
from api.v1.events import read_token
from common import links, tokens
from common.settings import settings
from common.tokens import CALLBACK, FILE, STREAM, Purpose, body_of, make_token
from models.access.scopes import Caller
from models.jobs import callbacks
from tests.conftest import environment

PURPOSES = (FILE, CALLBACK, STREAM)
# What the code before common/tokens.py made, with this secret: addresses of results are for ever.
SECRET = "a-secret-for-tokens-of-the-old-code"
ONE, OTHER = UUID("0192f0c1-2345-7abc-8def-0123456789ab"), UUID("0192f0c1-2345-7abc-8def-0123456789ac")
OF_FILE = "AZLwwSNFeryN7wEjRWeJqw7wJP36_nAvxVADD_a8nzE"
OF_CALLBACK = "AZLwwSNFeryN7wEjRWeJqwAHaDnbX7ZpHXMWK-wvcrjujg"
OF_STREAM = "AZLwwSNFeryN7wEjRWeJqwGS8MEjRXq8je8BI0VniawBAAAAAGtJ0gBjYzts7ZTSbmYjv6zqN_iDMr5g8n1HzrlKlvYPG3dTzw"


def body(purpose: Purpose) -> bytes:
    return bytes(range(purpose.body_bytes))


def test_tokens_that_the_old_code_made_are_made_and_read_as_before() -> None:
    with environment({"SECRET_KEY": SECRET}):
        assert (links.token_of(ONE), asset_of(OF_FILE)) == (OF_FILE, ONE)
        assert (callbacks.token_of(ONE, 7), callbacks.attempt_of(OF_CALLBACK)) == (OF_CALLBACK, (ONE, 7))
        assert stream_token(Caller(ONE, UUID(int=1), OTHER, frozenset(), "pro"), 1_800_000_000) == OF_STREAM
        visitor = read_token(OF_STREAM, 1_799_999_999)
        assert (visitor.account_id, visitor.key_id, visitor.role) == (ONE, OTHER, "pro")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_was_signed_comes_out_and_nothing_that_was_changed(purpose: Purpose) -> None:
    token = make_token(purpose, body(purpose))
    assert body_of(purpose, token) == body(purpose)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    changed = [raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :] for place in range(len(raw))]
    for wrong in [*changed, raw[:-1], raw + b"x", b"", raw[: purpose.body_bytes]]:
        assert body_of(purpose, base64.urlsafe_b64encode(wrong).rstrip(b"=").decode()) is None
    for odd in ("", "ä", "a", "\0", "%%%", token[:-1]):
        assert body_of(purpose, odd) is None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_has_one_spelling(purpose: Purpose) -> None:
    token = make_token(purpose, body(purpose))
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    others = [token[:-1] + each for each in string.ascii_letters + string.digits + "-_" if each != token[-1]]
    alike = [each for each in others if base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)) == raw]
    assert alike, "the last letter has bits to spare"
    for other in (*alike, f"{token}=", f"{token}==", f"{token}....", f"!!{token}", f"{token}\n"):
        assert body_of(purpose, other) is None, other


@pytest.mark.parametrize(("made", "asked"), list(permutations(PURPOSES, 2)))
def test_a_token_is_for_one_purpose(made: Purpose, asked: Purpose) -> None:
    alike = asked._replace(body_bytes=made.body_bytes, signature_bytes=made.signature_bytes)
    assert body_of(alike, make_token(made, body(made))) is None
    assert not asked.word.startswith(made.word), "a body could go on where a word ends"


def test_another_secret_makes_other_tokens() -> None:
    token = make_token(FILE, body(FILE))
    with environment({"SECRET_KEY": SECRET}):
        assert settings().secret_key.get_secret_value() == SECRET
        assert tokens.body_of(FILE, token) is None
