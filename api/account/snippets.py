"""The same order by program: what somebody copies, with $HEADRACE_API_KEY in place of a key. Pure."""

import json
import shlex
from pprint import pformat
from typing import Any, NamedTuple


class Snippet(NamedTuple):
    """A request in one language."""

    id: str
    language: str
    text: str


def snippets_of(url: str, model: str, values: dict[str, Any], key: str) -> list[Snippet]:
    """The order as curl, Python and JavaScript. `url`: where the API is. `key`: its Idempotency-Key, so that what is sent twice orders once."""
    order = {"model": model, "input": values}
    return [
        Snippet("curl", "curl", _curl(f"{url}/v1/jobs", order, key)),
        Snippet("python", "Python", _python(f"{url}/v1/jobs", order, key)),
        Snippet("javascript", "JavaScript", _javascript(f"{url}/v1/jobs", order, key)),
    ]


def _curl(address: str, order: dict[str, Any], key: str) -> str:
    lines = [
        f"curl {shlex.quote(address)}",
        '-H "Authorization: Bearer $HEADRACE_API_KEY"',
        '-H "Content-Type: application/json"',
        f'-H "Idempotency-Key: {key}"',
        f"-d {shlex.quote(json.dumps(order))}",
    ]
    return " \\\n  ".join(lines)


def _python(address: str, order: dict[str, Any], key: str) -> str:
    body = pformat(order, width=88, sort_dicts=False).replace("\n", "\n    ")
    return f"""import os
import httpx

answer = httpx.post(
    {json.dumps(address)},
    headers={{
        "Authorization": f"Bearer {{os.environ['HEADRACE_API_KEY']}}",
        "Idempotency-Key": {json.dumps(key)},
        "Prefer": "wait=30",
    }},
    json={body},
    timeout=60,
)
answer.raise_for_status()
job = answer.json()
print(job["id"], job["status"], *[each["url"] for each in job["outputs"]])"""


def _javascript(address: str, order: dict[str, Any], key: str) -> str:
    body = json.dumps(order, indent=2).replace("\n", "\n  ")
    return f"""const answer = await fetch({json.dumps(address)}, {{
  method: "POST",
  headers: {{
    "Authorization": `Bearer ${{process.env.HEADRACE_API_KEY}}`,
    "Content-Type": "application/json",
    "Idempotency-Key": {json.dumps(key)},
    "Prefer": "wait=30",
  }},
  body: JSON.stringify({body}),
}});
const job = await answer.json();
console.log(job.id, job.status, ...(job.outputs ?? []).map((each) => each.url));"""
