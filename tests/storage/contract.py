"""What any S3 must do for us: the same checks for moto and for the real server. (moto begins every upload in 2010.)"""

import hashlib
import io
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.objects import READ_CHUNK_BYTES
from storage.s3 import PART_BYTES, Storage, StorageError

BODY = bytes(range(256)) * 16

ODD_KEYS = [
    "results/sp ace+plus%25?&=#.png",
    "results/ünï/日本語.png",
    "results/a'quote\"and<tags>&amp;.png",
    "results/~!*()@$,;:.png",
    "results/" + "long" * 50 + ".png",
]


def all_keys(store: Storage, prefix: str) -> list[str]:
    """Whatever lies under a prefix: other tests of this process may have left more than a page holds."""
    found: list[str] = []
    while page := store.list_page(prefix, found[-1] if found else None, 1000):
        found += [item.key for item in page]
    return found


class Contract:
    """Subclasses give the fixture `store`."""

    def test_what_is_put_is_read_back_with_its_type(self, store: Storage) -> None:
        store.put_bytes("results/one", BODY, "image/webp")
        part = store.get_range("results/one")
        assert (part.size, part.media_type) == (len(BODY), "image/webp")
        assert b"".join(part.chunks) == BODY
        assert store.head("results/one") == (len(BODY), "image/webp")

    def test_an_empty_object_is_an_object(self, store: Storage) -> None:
        store.put_bytes("results/empty", b"", "text/plain")
        assert store.get_range("results/empty").size == 0
        assert list(store.get_range("results/empty").chunks) == []

    @pytest.mark.parametrize("extra", [-1, 0, 1, PART_BYTES])
    @pytest.mark.parametrize("as_path", [True, False])
    def test_files_around_the_size_of_a_part_arrive_whole(
        self, store: Storage, tmp_path: Path, extra: int, as_path: bool
    ) -> None:
        data = os.urandom(PART_BYTES + extra)
        path = tmp_path / "file"
        path.write_bytes(data)
        file = io.BytesIO(data)
        file.seek(3)  # it is put from its start all the same
        store.put_file("results/file", path if as_path else file, "video/mp4")
        assert store.head("results/file") == (len(data), "video/mp4")
        chunks = list(store.get_range("results/file").chunks)
        assert max(map(len, chunks)) <= READ_CHUNK_BYTES
        assert hashlib.sha256(b"".join(chunks)).digest() == hashlib.sha256(data).digest()

    @pytest.mark.parametrize(
        ("start", "end"), [(0, 0), (0, 9), (10, 99), (len(BODY) - 1, None), (5, None), (0, None), (100, 10**9)]
    )
    def test_a_range_is_the_bytes_from_start_to_end(self, store: Storage, start: int, end: int | None) -> None:
        store.put_bytes("results/ranged", BODY, "image/png")
        part = store.get_range("results/ranged", start, end)
        assert b"".join(part.chunks) == BODY[start : None if end is None else end + 1]
        assert (part.size, part.media_type) == (len(BODY), "image/png")

    def test_a_range_behind_the_end_is_refused(self, store: Storage) -> None:
        store.put_bytes("results/ranged", BODY, "image/png")
        with pytest.raises(StorageError) as caught:
            store.get_range("results/ranged", len(BODY), None)
        error = caught.value
        assert (error.code, error.retryable, error.missing) == ("InvalidRange", False, False)

    def test_a_missing_key_is_missing_and_deleting_it_is_success(self, store: Storage) -> None:
        for look in (store.get_range, store.head):
            with pytest.raises(StorageError) as caught:
                look("results/nothing")
            assert (caught.value.missing, caught.value.retryable) == (True, False)
        assert store.delete_many(["results/nothing"]) == {}
        assert store.delete_many([]) == {}

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_an_odd_key_is_one_key_for_every_operation(self, store: Storage, key: str) -> None:
        store.put_bytes(key, BODY, "image/png")
        assert store.head(key).size == len(BODY)
        assert b"".join(store.get_range(key).chunks) == BODY
        assert key in all_keys(store, "results/")
        assert store.delete_many([key]) == {}
        assert key not in all_keys(store, "results/")

    def test_pages_go_on_after_a_key_and_see_only_their_prefix(self, store: Storage) -> None:
        names = [f"results/page/{number:02}" for number in range(7)]
        for name in [*names, "other/x"]:
            store.put_bytes(name, BODY, "image/png")
        seen: list[str] = []
        after = None
        while page := store.list_page("results/page/", after, 3):
            assert len(page) <= 3
            seen += [item.key for item in page]
            after = page[-1].key
        assert seen == names
        first = store.list_page("results/page/", None, 1)[0]
        assert first.size == len(BODY)
        assert abs(datetime.now(UTC) - first.last_modified) < timedelta(minutes=1)

    def test_the_check_leaves_nothing_behind(self, store: Storage) -> None:
        store.check()
        assert not store.list_page(".headrace-probe", None, 10)

    def test_streams_given_up_do_not_use_up_the_connections(self, store: Storage) -> None:
        store.put_bytes("results/large", bytes(2_000_000), "image/png")
        for _ in range(60):  # more than the pool has
            with store.get_range("results/large").chunks as chunks:
                next(chunks)
            store.get_range("results/large").chunks.close()  # never begun
        assert store.head("results/large").size == 2_000_000

    def test_many_threads_share_one_storage(self, store: Storage) -> None:
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(10):
                    key, data = f"results/thread/{number}", f"{number} {turn}".encode() * 100
                    store.put_bytes(key, data, "text/plain")
                    assert b"".join(store.get_range(key).chunks) == data
                    assert store.delete_many([key]) == {}
            except BaseException as error:  # noqa: BLE001 - told to the test
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
