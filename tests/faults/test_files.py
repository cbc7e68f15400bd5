"""Files by the thousand that no encoder made: each is read within its limits, or refused with a documented word."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from storage import media
from storage.media import Media, kinds_of
from tests.faults.test_faults import SEED
from tests.storage import hostile
from tests.storage.conftest import file  # noqa: F401 - a fixture
from tests.storage.test_media_fuzz import HEADS, SAMPLES, made
from tests.storage.test_sandbox import verdict

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

Writer = Callable[[bytes], Path]
EXAMPLES = int(os.environ.get("HEADRACE_FUZZ_FILES", "600"))
CODES = {
    "empty_result", "broken_result", "unknown_result", "unread_kind", "result_too_large", "unexpected_page",
}  # fmt: skip
NUMBERS = [0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def read(path: Path) -> str:
    """What became of a file. Whatever it is, it took this process little time, and the machine a bounded one."""
    own, begin = time.process_time(), time.monotonic()
    found = verdict(path)
    if isinstance(found, Media):
        assert kinds_of(found)
        outcome = "read"
    else:
        assert found.code in CODES
        assert found.message
        assert found.message.isprintable()
        outcome = found.code
    assert time.process_time() - own < 3
    assert time.monotonic() - begin < 120
    return outcome


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A good file, of which parts are changed, doubled, dropped, swapped or claimed to be of any length."""
    data = bytearray(made(draw(st.sampled_from(sorted(SAMPLES)))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)) | st.integers(0, max(0, min(len(data) - 1, 400))))
        length = draw(st.integers(0, 64) | st.integers(0, 4096))
        match draw(st.sampled_from(["number", "bytes", "double", "drop", "swap", "repeat"])):
            case "number":
                size, order = draw(st.sampled_from([1, 2, 3, 4, 8])), draw(st.sampled_from(["big", "little"]))
                number = draw(st.sampled_from(NUMBERS)) & ((1 << 8 * size) - 1)
                data[at : at + size] = number.to_bytes(size, order)
            case "bytes":
                data[at : at + length] = draw(st.binary(max_size=64))
            case "double":
                data[at:at] = data[at : at + length]
            case "drop":
                del data[at : at + length]
            case "swap":
                other = draw(st.integers(0, max(0, len(data) - 1)))
                data[at : at + length], data[other : other + length] = (
                    data[other : other + length], data[at : at + length]
                )  # fmt: skip
            case "repeat":
                data[at:at] = bytes(data[at : at + min(length, 64)]) * draw(st.integers(1, 2000))
    return bytes(data)


@given(data=mutations())
@fuzzed
def test_a_changed_file_is_read_or_refused(file: Writer, data: bytes) -> None:  # noqa: F811 - the fixture
    read(file(data))


@given(head=st.sampled_from(HEADS), body=st.binary(max_size=2000), times=st.integers(1, 300))
@fuzzed
def test_any_bytes_again_and_again_behind_any_sign_are_read_or_refused(
    file: Writer, head: bytes, body: bytes, times: int  # noqa: F811 - the fixture
) -> None:  # fmt: skip
    read(file(head + body * times))


def test_changed_files_are_read_or_refused_in_the_sandbox_alone(
    file: Writer, monkeypatch: pytest.MonkeyPatch  # noqa: F811 - the fixture
) -> None:  # fmt: skip
    """With no quick way round it; what dies there is a word too."""
    monkeypatch.setattr(media, "_quick_picture", lambda *_: None)
    monkeypatch.setattr(media, "QUICK_TEXT_BYTES", 0)
    chance, found = random.Random(SEED), Counter[str]()
    names = sorted(SAMPLES)
    for _ in range(EXAMPLES):
        data = bytearray(made(chance.choice(names)))
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(min(len(data), chance.choice([64, 400, len(data)])))] = chance.randrange(256)
        found[read(file(bytes(data)))] += 1
    print(f"\n{EXAMPLES} changed files in the sandbox: {dict(found)}")
    assert found["read"]
    assert found["broken_result"]


@pytest.mark.parametrize("name", hostile.LARGE)
def test_an_upload_full_of_work_ends_within_its_limits(file: Writer, name: str) -> None:  # noqa: F811 - the fixture
    begin = time.monotonic()
    outcome = read(file(hostile.LARGE[name]()))
    print(f"\n{name}: {outcome} after {time.monotonic() - begin:.1f} s")
