"""The book holds with many processes."""

import multiprocessing
from pathlib import Path

from workers.providers.base import Request
from workers.providers.sketch import Sketch
from workers.providers.sketch.book import Book


def start_some(path: Path, keys: list[str]) -> None:
    sketch = Sketch(Book(path))
    request = Request("image", "image", {}, {"instant": True, "cost_usd_micros": 1})
    for key in keys:
        sketch.start(request, key)


def test_many_processes_write_one_book_and_a_key_is_charged_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "book.db"
    keys = [f"job-{number}:1" for number in range(25)]
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=start_some, args=(path, keys)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    book = Book(path)
    assert book.starts_per_key() == dict.fromkeys(keys, 4)
    assert len(book.generations()) == book.charged_usd_micros() == 25
    assert {call.pid for call in book.calls("start")} == {process.pid for process in processes}


def test_the_failures_of_a_job_are_not_those_of_one_whose_name_begins_alike(tmp_path: Path) -> None:
    book = Book(tmp_path / "book.db")
    book.begin("job:1", {}, 0, 0, "failed")
    book.begin("job%:1", {}, 0, 0, "failed")
    book.refuse("job:2")
    book.refuse("job-2:1")
    assert [book.failures_of(job) for job in ("job", "job%", "job-2", "jo")] == [2, 1, 1, 0]
