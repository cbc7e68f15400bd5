"""A real headless Chromium, driven over its debugging pipe: no driver, no package."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOAD_SECONDS = 20.0


class BrowserFault(Exception):
    """The browser has ended, a page does not load, or a script in it fails."""


class _Pipe:
    """The browser's pipe: orders go in, and answers come out, each with its order's number."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._number = 0
        self._buffer = b""

    def call(self, method: str, session: str | None, values: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": values}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                data = os.read(self._from, 65536)
                if not data:
                    raise BrowserFault("the browser has ended")
                self._buffer += data
            raw, _, self._buffer = self._buffer.partition(b"\0")
            answer = json.loads(raw)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserFault(f"{method}: {answer['error']}")
                found: dict[str, Any] = answer["result"]
                return found


class Page:
    """One page: a tab of its browser."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        self._session: str | None = None
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def another(self) -> "Page":
        """One more tab of the same browser: what pages of one origin share, they share."""
        return Page(self._pipe)

    def close(self) -> None:
        """Close the tab, as somebody does who has seen enough."""
        self.call("Page.close")

    def freeze(self, *, frozen: bool = True) -> None:
        """Let the page sleep as a browser lets tabs sleep that nobody looks at, or wake it."""
        self.call("Page.setWebLifecycleState", state="frozen" if frozen else "active")

    def go(self, url: str) -> None:
        """Open an address and wait until it is loaded. Raises BrowserFault."""
        self.call("Page.navigate", url=url)
        end = time.monotonic() + LOAD_SECONDS
        while self.run("document.readyState") != "complete" or self.run("location.href") != url:
            if time.monotonic() > end:
                raise BrowserFault(f"{url} does not load")
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """The value of an expression in the page. Raises BrowserFault."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserFault(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Be a window of so many pixels. A window's own size ends at 500."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def picture(self) -> bytes:
        """What is seen of the page, as a PNG of the window's size."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """What the browser's protocol answers to a command for this page. Raises BrowserFault."""
        return self._pipe.call(method, self._session, values)


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with one empty page; its profile and log are in this folder. Raises BrowserFault."""
    if PROGRAM is None:
        raise BrowserFault("there is no Chromium on this machine")
    command_in, command_out = os.pipe()
    answer_in, answer_out = os.pipe()
    # Chromium reads its orders from descriptor 3 and answers on 4.
    script = f'exec "$0" "$@" 3<&{command_in} 4>&{answer_out}'
    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}", "--remote-debugging-pipe",
    ]  # fmt: skip
    with (folder / "browser.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - Chromium, with our own arguments
            ["/bin/bash", "-c", script, PROGRAM, *options], pass_fds=(command_in, answer_out), stdout=log, stderr=log
        )
    os.close(command_in)
    os.close(answer_out)
    try:
        yield Page(_Pipe(command_out, answer_in))
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        os.close(command_out)
        os.close(answer_in)
