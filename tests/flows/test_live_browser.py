"""A page in a real browser hears of its job and its balance, without a reload."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from examples.browser import PROGRAM, browser
from tests.support import System, account, assert_books_are_clean, balance, eventually, key_of

# In CI a missing browser is a failure: the test would else never be run.
pytestmark = pytest.mark.skipif(
    PROGRAM is None and os.environ.get("CI") != "true", reason="no Chromium on this machine: make tools"
)

# The page as an application would write it (docs/events.md): a token, an EventSource, and a new token where a stream
# that broke cannot be opened again with the old one.
PAGE = """
document.body.innerHTML = '<p>credits <b id="credits">?</b></p><p>job <b id="job">none</b> <i id="progress"></i></p><ol id="log"></ol>';
window.loaded = (window.loaded || 0) + 1;
window.opened = 0;
const show = (id, text) => { document.getElementById(id).textContent = text; };
const headers = { authorization: 'Bearer KEY' };
let last = '';
window.listen = async () => {
  let token;
  try {
    token = (await (await fetch('API/v1/events/token', { method: 'POST', headers })).json()).token;
  } catch (error) { setTimeout(window.listen, 200); return; }
  const source = new EventSource('API/v1/events?token=' + token + (last && '&after=' + last));
  source.onopen = () => { window.opened += 1; };
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) setTimeout(window.listen, 200); };
  for (const kind of ['balance', 'job.queued', 'job.running', 'job.progress', 'job.output', 'job.succeeded', 'job.failed'])
    source.addEventListener(kind, (message) => {
      last = message.lastEventId;
      const event = JSON.parse(message.data);
      if ('available' in event.data) show('credits', event.data.available);
      if (kind === 'job.progress') show('progress', event.data.progress + ' %');
      else if (kind.startsWith('job.')) show('job', kind.slice(4));
      const line = document.createElement('li');
      line.textContent = kind;
      document.getElementById('log').append(line);
    });
};
window.listen();
window.order = (prompt) => fetch('API/v1/jobs', { method: 'POST', headers,
  body: JSON.stringify({ model: 'sketch-image', input: { prompt } }) }).then((answer) => answer.status);
"""


def test_a_page_sees_its_job_end_and_its_balance_change_without_a_reload(system: System, tmp_path: Path) -> None:
    # A token lives one second here, so that the second stream below needs a new one, as it would after a minute.
    with web_site() as site:
        a_page_on(site, system, tmp_path)
    assert_books_are_clean()


@contextmanager
def web_site() -> Iterator[str]:
    """A product's own site, on another origin than the API. Gives its address."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>site</title>")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def a_page_on(site: str, system: System, tmp_path: Path) -> None:
    extra = {"STREAM_TOKEN_SECONDS": "1", "CORS_ORIGINS": site}
    system.start("api", "worker", "scheduler", api=extra)
    who = account(amount=20)
    folder = tmp_path / "browser"
    folder.mkdir()
    with browser(folder) as page:
        page.go(f"{site}/")  # the page is written into it
        page.run(PAGE.replace("KEY", key_of(who)).replace("API", system.url) + "; 0")

        def text(name: str) -> str:
            return str(page.run(f"document.getElementById('{name}').textContent"))

        eventually(lambda: text("credits") == "20", what="the balance on the page")
        assert page.run("order('a harbour at dawn')") == 201
        eventually(lambda: text("job") == "succeeded", what="the job's end on the page")
        left = balance(who)[0]
        assert left < 20
        assert text("credits") == str(left)
        log = page.run("[...document.querySelectorAll('#log li')].map((li) => li.textContent)")
        assert log == ["balance", "job.queued", "job.running", "job.output", "job.succeeded"]
        system.processes.stop("api")
        system.start("api", api=extra)
        eventually(lambda: page.run("window.opened") >= 2, what="the page's second stream")
        assert page.run("order('a harbour at dusk')") == 201
        eventually(lambda: text("log").count("job.succeeded") == 2, what="the second job's end")
        # It went on where it was: nothing was repeated, no second balance was needed.
        assert text("log").count("job.queued") == 2
        assert text("log").count("balance") == 1
        assert text("credits") == str(balance(who)[0])
        assert page.run("window.loaded") == 1
