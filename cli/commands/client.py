"""Commands of a client: they speak HTTP to PUBLIC_URL with HEADRACE_API_KEY, like any program would."""

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.output import JsonFlag, aside, console, fail, print_json, show
from common.settings import settings

app = typer.Typer()
KeyOption = typer.Option(envvar="HEADRACE_API_KEY", help="An API key.", show_default=False)
ENDED = ("succeeded", "failed", "canceled")


class Api:
    """The HTTP API, for the command line and the demo."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(30, connect=5))

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """A JSON answer. Exits with the problem's own words otherwise."""
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise fail(
                f"{self._http.base_url} does not answer ({type(error).__name__}): is `headrace up` running?"
            ) from None
        if answer.is_error:
            problem = (
                answer.json() if "json" in answer.headers.get("content-type", "") else {"detail": answer.text[:300]}
            )
            said = f"{answer.status_code} {problem.get('code', '')}: {problem.get('detail', '')}"
            raise fail(said + (self._how_to_get_more() if problem.get("code") == "not_enough_credits" else ""))
        body: dict[str, Any] = answer.json()
        return body

    def _how_to_get_more(self) -> str:
        """For whoever runs the deployment as well: the command, with the account of this key."""
        me = self._http.get("/v1/me")  # a key that may not read is no reason to say nothing
        whose = me.json()["account_id"] if me.is_success else "ACCOUNT"
        return f"\nIf you run this deployment: headrace grant 50 --account {whose} --reason 'used up'"

    def is_ready(self) -> bool:
        """Whether it answers, and has what it needs."""
        try:
            return self._http.get("/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def listed(self, path: str) -> list[dict[str, Any]]:
        """All of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.call("GET", path, params={"cursor": cursor} if cursor else {})
            found += page["data"]
            if not (cursor := page["next"]):
                return found

    def submit(self, model: str, values: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """Order a job."""
        headers = {"idempotency-key": key} if key else {}
        return self.call("POST", "/v1/jobs", json={"model": model, "input": values}, headers=headers)

    def job(self, job_id: str) -> dict[str, Any]:
        """Look at a job."""
        return self.call("GET", f"/v1/jobs/{job_id}")

    def save(self, job: dict[str, Any], folder: Path, name: str) -> list[Path]:
        """Download a job's results into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for number, output in enumerate(job["outputs"]):
            kind = output["media_type"].split(";")[0]
            ending = {
                "image/png": "png",
                "image/jpeg": "jpg",
                "image/webp": "webp",
                "video/mp4": "mp4",
                "audio/wav": "wav",
            }
            path = folder / f"{name}{'' if len(job['outputs']) == 1 else f'-{number + 1}'}.{ending.get(kind, 'bin')}"
            with self._http.stream("GET", output["url"]) as answer, path.open("wb") as file:
                answer.raise_for_status()
                for chunk in answer.iter_bytes():
                    file.write(chunk)
            saved.append(path)
        return saved


def progress_bars(on: Console) -> Progress:
    """A bar per job."""
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"), BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}"), TimeElapsedColumn(), console=on,
    )  # fmt: skip


def follow(api: Api, jobs: dict[str, str], *, seconds: float = 600, on: Console = console) -> dict[str, dict[str, Any]]:
    """Show jobs, given as id → name, until all have ended. Returns them by id."""
    ended: dict[str, dict[str, Any]] = {}
    until = time.monotonic() + seconds
    with progress_bars(on) as bars:
        tasks = {job_id: bars.add_task(name, total=100, status="queued") for job_id, name in jobs.items()}
        while len(ended) < len(jobs):
            if time.monotonic() > until:
                raise fail(f"{len(jobs) - len(ended)} jobs have not ended after {seconds:.0f} s; see `headrace queues`")
            for job_id in jobs.keys() - ended.keys():
                job = api.job(job_id)
                waiting = job["waiting"] or {}
                status = job["status"] + (f" ({waiting['reason']})" if waiting.get("reason") else "")
                done = 100 if job["status"] in ENDED else job["progress"] or 0
                colour = {"succeeded": "green", "failed": "red", "canceled": "yellow"}.get(job["status"], "cyan")
                charged = job["credits"]["charged"]
                cost = f", {charged} of {job['credits']['reserved']} credits" if charged is not None else ""
                bars.update(tasks[job_id], completed=done, status=f"[{colour}]{status}{cost}[/]")
                if job["status"] in ENDED:
                    ended[job_id] = job
            time.sleep(0.15)
    return ended


@app.command()
def submit(
    model: Annotated[str, typer.Argument(help="A model, such as sketch-image.")],
    values: Annotated[list[str] | None, typer.Argument(help="Input, as name=value; values may be JSON.")] = None,
    key: Annotated[str, KeyOption] = "",
    idempotency_key: Annotated[str | None, typer.Option(help="The same key makes the same job.")] = None,
    wait: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    as_json: bool = JsonFlag,
) -> None:
    """Order a job: headrace submit sketch-image prompt='a harbour at dawn' count=2"""
    given = {}
    for each in values or []:
        name, equals, text = each.partition("=")
        if not equals:
            raise fail(f"{each!r} is not name=value")
        given[name] = text
    with _api(key) as api:
        fields = _fields(api, model) if given else {}
        given = {name: _value(text, fields.get(name)) for name, text in given.items()}
        job = api.submit(model, given, idempotency_key)
        if wait:
            job = follow(api, {job["id"]: model}, on=aside(as_json=as_json))[job["id"]]
    _show_job(job, as_json=as_json)


@app.command()
def watch(
    job_id: Annotated[str, typer.Argument(help="A job's id.")],
    key: Annotated[str, KeyOption] = "",
    as_json: bool = JsonFlag,
) -> None:
    """Follow a job to its end."""
    with _api(key) as api:
        job = follow(api, {job_id: job_id}, on=aside(as_json=as_json))[job_id]
    _show_job(job, as_json=as_json)


@app.command()
def models(as_json: bool = JsonFlag) -> None:
    """List what can be ordered."""
    with Api(settings().public_url, None) as api:
        found = api.listed("/v1/models")
    if as_json:
        print_json(found)
        return
    rows = [{name: each[name] for name in ("id", "kind", "name", "description")} for each in found]
    show(rows, as_json=False, empty="no model is offered: headrace catalogue apply")


@app.command()
def plans(as_json: bool = JsonFlag) -> None:
    """List the plans that can be had."""
    with Api(settings().public_url, None) as api:
        found = api.listed("/v1/plans")
    if as_json:
        print_json(found)
        return
    rows = [{name: each[name] for name in ("id", "name", "credits", "granted", "slots")} for each in found]
    show(rows, as_json=False, empty="no plan")


@app.command()
def events(
    after: Annotated[int | None, typer.Option(min=0, help="The number of the last event that you know.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    key: Annotated[str, KeyOption] = "",
    as_json: bool = JsonFlag,
) -> None:
    """List what has happened in the key's account, oldest first."""
    with _api(key) as api:
        found = api.call("GET", "/v1/events", params={"limit": limit, "after": after or 0})
    if as_json:
        print_json(found)
        return
    rows = [
        {"number": each["number"], "type": each["type"], "created": _time(each["created_at"]), "job": each["job_id"]}
        for each in found["data"]
    ]
    show(rows, as_json=False, empty="nothing happened")


def _api(key: str) -> Api:
    if not key:
        raise fail("give an API key: HEADRACE_API_KEY=… or --key (make one with `headrace keys`)")
    return Api(settings().public_url, key)


def _fields(api: Api, model: str) -> dict[str, Any]:
    """The fields that a model's schema names; none of a model that there is not: the order says so."""
    offers = {each["id"]: each for each in api.listed("/v1/models")}
    fields: dict[str, Any] = offers[model]["input_schema"].get("properties", {}) if model in offers else {}
    return fields


def _value(text: str, field: Any) -> Any:
    """A value as its field has it: 2024 and true are a text where the schema says text, else JSON if they can be."""
    if isinstance(field, dict) and field.get("type") == "string":
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _time(text: str) -> datetime:
    """A time as the API writes it."""
    return datetime.fromisoformat(text)


def _show_job(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    row = {name: job[name] for name in ("id", "status", "model")}
    held = {"charged": job["credits"]["charged"], "reserved": job["credits"]["reserved"]}
    show([{**row, **held, "created": _time(job["created_at"])}], as_json=False)
    for output in job["outputs"]:
        console.print(output["url"], soft_wrap=True)
