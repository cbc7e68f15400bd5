"""The web client's credentials: saved once, found while they hold, revoked for good."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from common.errors import CredentialEnded, IdTaken, NotFound
from common.settings import settings
from models.db import transaction
from models.provisioning import credentials
from models.provisioning.credentials import NewCredential
from tests.models.provisioning.test_allowances import at_once
from tests.support import eventually, lock_waits, one, rows

pytestmark = pytest.mark.usefixtures("database")

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)


def credential(name: str = "c", **fields: Any) -> NewCredential:
    usual = NewCredential(
        name, "u", "openai", "hash", "salt", ["chat"], "free", ISSUED, datetime(2100, 1, 1, tzinfo=UTC), "active", None,
        None, None,
    )  # fmt: skip
    return usual._replace(**fields)


def saved(name: str = "c", **fields: Any) -> NewCredential:
    new = credential(name, **fields)
    with transaction() as conn:
        credentials.save(conn, new, hashlib.sha256(repr(new).encode()).digest())
    return new


def active(user: str = "u", provider: str = "openai") -> str | None:
    with transaction() as conn:
        found = credentials.find_active(conn, user, provider)
    return None if found is None else found.wanted.id


def rotated(name: str = "c", token_hash: str = "other", ends: datetime | None = None) -> NewCredential:
    with transaction() as conn:
        return credentials.rotate(conn, name, token_hash, "pepper", ends).wanted


def revoked(name: str = "c") -> bool:
    with transaction() as conn:
        return credentials.revoke(conn, name)


def test_the_newest_that_holds_is_found() -> None:
    saved("first")
    saved("newest", issued_at=ISSUED + timedelta(days=2))
    saved("second", issued_at=ISSUED + timedelta(days=1))
    saved("elsewhere", provider="other", issued_at=ISSUED + timedelta(days=3))
    saved("theirs", user_id="v", issued_at=ISSUED + timedelta(days=3))
    saved("paused", status="paused", issued_at=ISSUED + timedelta(days=3))
    assert active() == "newest"
    assert revoked("newest")
    assert active() == "second"
    saved("twin", issued_at=ISSUED + timedelta(days=1))
    assert active() == "twin", "of two of one moment the one that was saved later"


def test_one_that_has_expired_is_not_found_though_its_status_says_active() -> None:
    saved("old", expires_at=ISSUED + timedelta(days=1), issued_at=ISSUED + timedelta(hours=1))
    assert active() is None
    saved("older, and holds")
    assert active() == "older, and holds"


def test_the_same_saved_again_is_kept_once_and_not_revived() -> None:
    saved()
    assert revoked()
    saved()
    assert rows("select id, status from web_credentials") == [("c", "revoked")]
    with pytest.raises(IdTaken):
        saved(token_hash="another's")
    assert one("select token_hash from web_credentials") == ("hash",)


def test_fifty_saves_of_one_credential_keep_one() -> None:
    at_once(lambda _: saved())
    assert one("select count(*) from web_credentials") == (1,)


def test_of_fifty_that_want_one_id_for_other_things_one_has_it() -> None:
    def work(number: int) -> bool:
        try:
            saved(token_hash=str(number))
        except IdTaken:
            return False
        return True

    assert sum(at_once(work)) == 1


def test_what_is_revoked_stays_so_and_what_is_nowhere_is_said() -> None:
    saved()
    assert (revoked(), revoked(), revoked("nothing")) == (True, True, False)
    assert active() is None
    with pytest.raises(CredentialEnded):
        rotated()
    with pytest.raises(NotFound):
        rotated("nothing")


def test_a_rotation_changes_the_token_and_says_when() -> None:
    before = saved()
    after = rotated()
    assert after == before._replace(token_hash="other", salt="pepper", last_rotated_at=after.last_rotated_at)
    assert after.last_rotated_at is not None
    assert rotated() == after, "sent again, it is the same rotation"
    ends = datetime(2200, 1, 1, tzinfo=UTC)
    assert rotated("c", "third", ends).expires_at == ends


def test_one_that_has_expired_is_not_rotated_into_life() -> None:
    saved(expires_at=ISSUED)
    with pytest.raises(CredentialEnded):
        rotated(ends=datetime(2200, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("turn", range(5))
def test_rotations_that_race_with_a_revocation_never_undo_it(turn: int) -> None:
    saved()

    def work(number: int) -> str:
        if number == 25 + turn:
            return str(revoked())
        try:
            return rotated(token_hash=f"hash {number}").token_hash
        except CredentialEnded:
            return "refused"

    said = at_once(work)
    assert said.count("True") == 1
    assert active() is None
    kept = one("select status, token_hash from web_credentials")
    assert kept[0] == "revoked"
    assert kept[1] in {"hash", *said}, "the token that is kept is one that was told as kept"


def test_a_rotation_that_meets_a_revocation_under_way_waits_for_it() -> None:
    saved()
    with psycopg.connect(settings().database_url) as other, ThreadPoolExecutor(1) as pool:
        credentials.revoke(other, "c")
        late = pool.submit(rotated)
        eventually(lambda: lock_waits() > 0, what="a wait")
        other.commit()
        with pytest.raises(CredentialEnded):
            late.result()
    assert one("select status, token_hash from web_credentials") == ("revoked", "hash")


def test_every_credential_is_listed_once_the_newest_first() -> None:
    for number in range(7):
        saved(f"c{number}", issued_at=ISSUED + timedelta(days=number // 2))
    found, after = [], None
    while True:
        with transaction() as conn:
            page = credentials.list_credentials(conn, 2, after)
        if not page:
            break
        found += [each.wanted.id for each in page]
        after = (page[-1].wanted.issued_at, page[-1].row_id)
    assert found == ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]
