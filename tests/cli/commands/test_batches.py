"""`headrace batch`: a file is ordered, followed, fetched and canceled by a key of a client's."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cli.commands import batches
from cli.main import app
from tests.support import System, account, assert_books_are_clean, eventually, key_of, model, one


def run(*arguments: str, key: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, ["batch", *arguments], env={"COLUMNS": "240", "HEADRACE_API_KEY": key})
    assert done.exit_code == status, (done.output, done.exception)
    return done.output


def written(path: Path, count: int, *more: str) -> str:
    lines = [json.dumps({"custom_id": f"c{n}", "model": "picture", "input": {"seed": n}}) for n in range(count)]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return str(path)


def test_a_file_is_ordered_followed_and_its_results_are_fetched(system: System, tmp_path: Path) -> None:
    model("picture")
    key = key_of(account(amount=50, plan="studio"))
    system.start("api", "worker", "scheduler")
    file = written(tmp_path / "orders.jsonl", 6, "{}")
    assert "of 7 lines 1 are refused, the first of them line 7" in run("submit", file, key=key, status=1)
    made = json.loads(run("submit", file, "--valid", "--max-running", "2", "--idempotency-key", "k", "--json", key=key))
    assert (made["orders"], made["accepted"], made["max_running"]) == (7, 6, 2)
    again = run("submit", file, "--valid", "--max-running", "2", "--idempotency-key", "k", "--watch", key=key)
    assert "6/6" in again
    assert made["id"] in again
    assert "model: Field required" in again
    shown = run("show", made["id"], key=key)
    assert "6/6" in shown
    assert "completed" in shown
    [listed] = json.loads(run("list", "--json", key=key))
    assert listed == json.loads(run("show", made["id"], "--json", key=key))
    assert made["id"] in run("list", key=key)
    lines = [json.loads(line) for line in run("results", made["id"], key=key).splitlines()]
    assert [each["number"] for each in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [each["status"] for each in lines] == ["succeeded"] * 6 + ["refused"]
    output = tmp_path / "results.jsonl"
    for after in ("0", "4"):
        run("results", made["id"], "-o", str(output), "--after", after, key=key)
    assert [json.loads(line)["number"] for line in output.read_text().splitlines()] == [1, 2, 3, 4, 5, 6, 7, 5, 6, 7]
    assert_books_are_clean()


def test_a_batch_is_canceled(system: System, tmp_path: Path) -> None:
    model("picture")
    key = key_of(account(amount=50, plan="studio"))
    system.start("api", "scheduler")
    made = json.loads(run("submit", written(tmp_path / "orders.jsonl", 5), "--json", key=key))
    assert run("results", made["id"], key=key) == ""
    assert len(run("results", made["id"], "--all", key=key).splitlines()) == 5
    assert json.loads(run("cancel", made["id"], "--json", key=key))["counts"]["canceled"] == 5
    eventually(lambda: one("select ended_at from batches")[0] is not None, what="its end")
    assert json.loads(run("show", made["id"], "--json", key=key))["status"] == "canceled"


def test_what_is_wrong_is_said(system: System, tmp_path: Path) -> None:
    key = key_of(account())
    system.start("api")
    assert "HEADRACE_API_KEY" in run("list", key="", status=1)
    for words in (["show"], ["cancel"], ["results"]):
        assert "404 not_found: no batch 'nonsense'" in run(*words, "nonsense", key=key, status=1)
    assert "no batch: headrace batch submit FILE" in run("list", key=key)
    assert "does not exist" in run("submit", str(tmp_path / "nothing"), key=key, status=2)


class Broken:
    """An API whose downloads break off: it sends so many bytes of what follows a line, and then nothing any more."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.asked = list[int]()
        self.lines = [json.dumps({"number": n, "text": "x" * 10}).encode() + b"\n" for n in range(1, 6)]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        after = int(request.url.params["after"])
        self.asked.append(after)
        body = b"".join(self.lines[after:])
        size = self.sizes.pop(0) if self.sizes else len(body)

        def parts() -> Any:
            yield body[:size]
            if size < len(body):
                raise httpx.ReadError("cut off")

        return httpx.Response(200, content=parts())


@pytest.mark.parametrize(("sizes", "asked"), [([], [0]), ([0, 45, 5], [0, 0, 1, 1]), ([80, 200], [0, 2])])
def test_a_download_goes_on_behind_its_last_whole_line(
    sizes: list[int], asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "LOOK_SECONDS", 0)
    far = Broken(sizes)
    with batches.Batches("http://far", "key") as api:
        api._http = httpx.Client(base_url="http://far", transport=httpx.MockTransport(far))
        found = list(api.results("x", 0, unfinished=False))
    assert [json.loads(line)["number"] for line in found] == [1, 2, 3, 4, 5]
    assert far.asked == asked


def test_a_download_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LOOK_SECONDS", 0)
    far = Broken([0] * 9)
    with batches.Batches("http://far", "key") as api:
        api._http = httpx.Client(base_url="http://far", transport=httpx.MockTransport(far))
        with pytest.raises(batches.typer.Exit):
            list(api.results("x", 0, unfinished=False))
    assert far.asked == [0] * batches.TRIES
