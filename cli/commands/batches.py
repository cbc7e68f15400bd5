"""`headrace batch`: a file of orders, a line each; how far it is; its results. Over HTTP, like any client."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.commands.client import Api, KeyOption
from cli.output import JsonFlag, console, errors, fail, print_json, show
from common.settings import settings

app = typer.Typer(no_args_is_help=True, help="Many jobs in one call: order a file of them, look, fetch, cancel.")
Key = Annotated[str, KeyOption]
BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="A batch's id.")]
SEND_SECONDS = 120.0  # for ordering ten thousand jobs, the queue of others' batches included
LOOK_SECONDS = 0.5  # between two looks at one that is followed
TRIES = 5  # of a download that breaks off, in a row
ENDS = ("succeeded", "failed", "canceled")


class Batches(Api):
    """The part of the API that is about batches."""

    def order(self, file: IO[bytes], options: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        """Order what is in the file. Says which lines are refused, and exits, where nothing is ordered."""
        import httpx  # noqa: PLC0415 - a second import of a module that waits would execute it (cli/later.py)

        try:
            answer = self._http.post(
                "/v1/batches",
                content=file,
                params=options,
                headers=headers,
                timeout=httpx.Timeout(SEND_SECONDS, connect=5),
            )
        except httpx.TransportError as error:
            raise fail(f"{self._http.base_url} does not answer ({type(error).__name__})") from None
        body: dict[str, Any] = orjson.loads(answer.content)
        if answer.is_error:
            _show_refusals(body.get("refusals", []), as_json=False)
            raise fail(f"{answer.status_code} {body.get('code', '')}: {body.get('detail', '')}")
        return body

    def results(self, batch_id: str, after: int, *, unfinished: bool) -> Iterator[bytes]:
        """The lines of its results. Goes on where a download broke off, and gives up after some tries in a row."""
        import httpx  # noqa: PLC0415 - a second import of a module that waits would execute it (cli/later.py)

        tries = 0
        while True:
            try:
                for line in self._lines(batch_id, after, unfinished=unfinished):
                    after, tries = orjson.loads(line)["number"], 0
                    yield line
            except httpx.TransportError as error:
                tries += 1
                if tries >= TRIES:
                    raise fail(
                        f"broke off after line {after} ({type(error).__name__}); go on with --after {after}"
                    ) from None
                errors.print(f"[dim]broke off after line {after}; going on[/]")
                time.sleep(LOOK_SECONDS * tries)
            else:
                return

    def _lines(self, batch_id: str, after: int, *, unfinished: bool) -> Iterator[bytes]:
        params = {"after": after, "all": unfinished}
        with self._http.stream("GET", f"/v1/batches/{batch_id}/results", params=params) as answer:
            if answer.is_error:
                problem = orjson.loads(answer.read())
                raise fail(f"{answer.status_code} {problem.get('code', '')}: {problem.get('detail', '')}")
            # A line that was cut off in the middle is none, and comes again.
            rest = b""
            for chunk in answer.iter_bytes():
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole


@contextmanager
def _api(key: str) -> Iterator[Batches]:
    if not key:
        raise fail("give an API key: HEADRACE_API_KEY=… or --key (make one with `headrace keys`)")
    with Batches(settings().public_url, key) as api:
        assert isinstance(api, Batches)  # noqa: S101 - entering answers with itself
        yield api


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON Lines: an order on each.")],
    key: Key = "",
    max_running: Annotated[int | None, typer.Option(min=1, help="At most so many of its jobs at a time.")] = None,
    valid: Annotated[bool, typer.Option("--valid", help="Order what can be ordered, and leave the rest out.")] = False,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key makes the same batch.")] = None,
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Order a batch: headrace batch submit orders.jsonl --max-running 10

    Each line is what `POST /v1/jobs` takes, and a custom_id of your own:
    {"custom_id": "a-1", "model": "sketch-image", "input": {"prompt": "a harbour at dawn"}}
    """
    options = {"accept": "valid" if valid else "all", **({"max_running": max_running} if max_running else {})}
    headers = {
        "content-type": "application/x-ndjson",
        **({"idempotency-key": idempotency_key} if idempotency_key else {}),
    }
    with _api(key) as api:
        with file.open("rb") as body:
            batch = api.order(body, options, headers)
        refusals = batch.pop("refusals")
        if follow:
            batch = _followed(api, batch)
    _show([batch], as_json=as_json)
    _show_refusals(refusals, as_json=as_json)


@app.command("list")
def list_batches(
    key: Key = "",
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, the newest first.")] = 20,
    as_json: bool = JsonFlag,
) -> None:
    """Your batches, the newest first."""
    with _api(key) as api:
        _show(api.call("GET", "/v1/batches", params={"limit": limit})["data"], as_json=as_json, many=True)


@app.command("show")
def show_batch(
    batch_id: BatchId,
    key: Key = "",
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """How far a batch is."""
    with _api(key) as api:
        batch = api.call("GET", f"/v1/batches/{batch_id}")
        if not as_json:
            batch = _followed(api, batch, once=not follow)
    _show([batch], as_json=as_json)


@app.command()
def results(
    batch_id: BatchId,
    key: Key = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="A file instead of the terminal.")
    ] = None,
    unfinished: Annotated[bool, typer.Option("--all", help="Jobs that have not ended as well.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only what follows this line.")] = 0,
) -> None:
    """Results as JSON Lines: headrace batch results BATCH -o results.jsonl"""
    with _api(key) as api, _opened(output, after) as file:
        for line in api.results(batch_id, after, unfinished=unfinished):
            file.write(line + b"\n")
        file.flush()


@contextmanager
def _opened(path: Path | None, after: int) -> Iterator[IO[bytes]]:
    """Where results go: what goes on is put behind what is there."""
    if path is None:
        yield sys.stdout.buffer
    else:
        with path.open("ab" if after else "wb") as file:
            yield file


@app.command()
def cancel(batch_id: BatchId, key: Key = "", as_json: bool = JsonFlag) -> None:
    """Cancel what has not ended of a batch; what had not begun is refunded."""
    with _api(key) as api:
        _show([api.call("POST", f"/v1/batches/{batch_id}/cancel")], as_json=as_json)


def _followed(api: Batches, batch: dict[str, Any], *, once: bool = False) -> dict[str, Any]:
    """Show a bar of how many of its jobs have ended; until all have, or `once`."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, auto_refresh=not once,
    )  # fmt: skip
    with bar:
        task = bar.add_task(batch["status"], total=batch["accepted"], counts="")
        while True:
            counts = batch["counts"]
            bar.update(
                task, completed=sum(counts[each] for each in ENDS), description=batch["status"],
                counts=", ".join(f"{number} {name}" for name, number in counts.items() if number),
            )  # fmt: skip
            if once or batch["ended_at"] is not None:
                bar.refresh()
                return batch
            time.sleep(LOOK_SECONDS)
            batch = api.call("GET", f"/v1/batches/{batch['id']}")


def _show(batches: list[dict[str, Any]], *, as_json: bool, many: bool = False) -> None:
    if as_json:
        print_json(batches if many else batches[0])
        return
    rows = []
    for batch in batches:
        row = {name: batch[name] for name in ("id", "status", "orders", "accepted", "max_running", "progress")}
        counts = {name: (batch["counts"] or {}).get(name) for name in ENDS}
        rows.append({**row, **counts, **batch["credits"], "estimate_seconds": batch["estimate_seconds"]})
    show(rows, as_json=False, empty="no batch: headrace batch submit FILE")


def _show_refusals(refusals: list[dict[str, Any]], *, as_json: bool) -> None:
    if refusals and not as_json:
        show(refusals, as_json=False, title="Refused, the first of them")
