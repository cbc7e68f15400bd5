"""Keys are put together and taken apart again."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import keys


@given(
    st.uuids(), st.uuids(), st.integers(0, 10**17), st.integers(0, 9999), st.booleans(), st.sampled_from(["png", "mp4"])
)
def test_a_key_gives_its_parts_back(
    account: UUID, job: UUID, token: int, number: int, small: bool, ending: str
) -> None:
    make = keys.thumbnail_key if small else keys.result_key
    assert keys.parse(make(account, job, token, number, ending)) == (account, job, token, number, small, ending)


@pytest.mark.parametrize(
    "key",
    ["", "results/x", "results/../../etc", "other/" + "0" * 36, "results/" + "-" * 36 + "/" + "-" * 36 + "/1-1.png"],
)
def test_a_foreign_key_is_none_of_ours(key: str) -> None:
    assert keys.parse(key) is None
