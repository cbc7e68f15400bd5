"""The request that somebody copies runs as it is: in a shell, and as a Python program."""

import os
import re
import subprocess
import sys
from html import unescape

import httpx

from tests.api.account.test_trying import typed
from tests.api.console.house import token_in
from tests.support import System, account, ended, key_of, rows


def _cookie(answer: httpx.Response) -> str:
    """What a browser sends back. The client itself would not send what is for https alone."""
    return answer.headers.get_list("set-cookie")[0].split(";")[0]


def test_the_copied_requests_run(system: System) -> None:
    who = account(amount=20)
    secret = key_of(who)
    system.start("api", "worker")
    prompt = 'it\'s "a" $HOME `id` \\ harbour é'
    with httpx.Client(base_url=system.url, follow_redirects=False) as http:
        form = http.get("/account/sign-in")
        http.headers["cookie"] = _cookie(form)
        came = http.post("/account/sign-in", data={"form_token": token_in(form), "secret": secret})
        assert came.status_code == 303
        http.headers["cookie"] = _cookie(came)
        page = http.get("/account/try?model=sketch-image")
        priced = http.post("/account/try/price", data=typed(page, prompt=prompt))
        assert priced.status_code == 200, priced.text
    code = {
        name: unescape(text) for name, text in re.findall(r'<pre id="code-([a-z]+)"[^>]*>([^<]*)</pre>', priced.text)
    }
    env = {**os.environ, "HEADRACE_API_KEY": secret}
    curl = subprocess.run(
        ["bash", "-c", code["curl"] + " -sS"], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert '"status":"' in curl.stdout, curl.stdout
    python = subprocess.run(
        [sys.executable, "-c", code["python"]], env=env, capture_output=True, text=True, timeout=90, check=False
    )
    assert python.returncode == 0, python.stderr
    assert "succeeded" in python.stdout, python.stdout
    assert rows("select input->>'prompt' from jobs") == [(prompt,)]  # one: both carry the same Idempotency-Key


def test_what_was_made_is_shown_on_its_pages(system: System) -> None:
    who = account(amount=2000)
    secret = key_of(who)
    system.start("api", "worker")
    with system.client(who) as api, httpx.Client(base_url=system.url) as http:
        form = http.get("/account/sign-in")
        http.headers["cookie"] = _cookie(form)
        came = http.post("/account/sign-in", data={"form_token": token_in(form), "secret": secret})
        http.headers["cookie"] = _cookie(came)
        inputs = {
            "sketch-image": {"prompt": "a harbour"},
            "sketch-speech": {"text": "Hello there."},
            "sketch-text": {"prompt": "The <b>harbour</b> is grey. The sea is near."},
        }
        for model_id, values in inputs.items():
            job = ended(api, api.post("/v1/jobs", json={"model": model_id, "input": values}).json()["id"], seconds=90)
            assert job["status"] == "succeeded", job
            path = "/files/" + job["outputs"][0]["url"].rpartition("/files/")[2]
            for place in (f"/account/jobs/{job['id']}", f"/account/try?job={job['id']}"):
                page = http.get(place)
                assert page.status_code == 200, page.text
                assert "Succeeded" in page.text
                tag = {"sketch-image": "<img ", "sketch-speech": "<audio ", "sketch-text": '<pre class="player'}[
                    model_id
                ]
                assert tag in page.text
                assert f'{path}"' in page.text
                assert http.get(path).status_code == 200
                assert "<b>harbour" not in page.text
