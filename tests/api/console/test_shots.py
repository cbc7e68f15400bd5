"""Pictures of the console, for docs/console: HEADRACE_PICTURES says where they are written; CONSOLE_PAGES, of which pages."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from examples import browser
from tests.api.console.house import browser_waits, come_in, operator
from tests.api.console.scenery import populate
from tests.support import System

FOLDER = os.environ.get("HEADRACE_PICTURES")
WIDTHS = {1440: 1000, 1024: 1200, 390: 844}

pytestmark = [
    pytest.mark.skipif(
        FOLDER is None or browser.PROGRAM is None, reason="HEADRACE_PICTURES names no folder, or there is no Chromium"
    ),
    pytest.mark.timeout(900),
]


def write_small(path: Path, picture: bytes) -> None:
    """As a PNG of few colours, a tenth as large."""
    with Image.open(BytesIO(picture)) as found:
        found.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def test_pictures_are_taken(system: System, tmp_path: Path) -> None:
    assert FOLDER is not None
    boss, secret = operator("mara@headrace.example")
    there = populate(boss)
    system.start("api")
    folder = Path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = os.environ.get("CONSOLE_PAGES", "").split(",")
    pages = {
        "sign-in": "/sign-in", "overview": "", "jobs": "/jobs", "job": f"/jobs/{there['told']}", "running": f"/jobs/{there['running']}", "queues": "/queues", "bulk": "/bulk", "retry-all": "/bulk/new?act=retry&status=failed&error=timed_out", "pause": "/pauses/new?what=model&name=flux-schnell",
        "workers": "/workers", "providers": "/providers", "catalogue": "/catalogue", "model": "/catalogue/flux-schnell", "accounts": "/accounts",
        "account": f"/accounts/{there['account']}", "give": f"/accounts/{there['account']}/grant", "payments": "/payments", "webhooks": "/webhooks",
        "webhook": f"/webhooks/{there['webhook']}", "scheduler": "/scheduler", "audit": "/audit", "activity": "/activity", "nothing": "/nothing",
    }  # fmt: skip
    with browser.browser(tmp_path) as page:
        come_in(page, system.url, secret)
        for theme in ("light", "dark"):
            page.go(f"{system.url}/console/scheduler")
            page.run(f"document.querySelector('button[name=theme][value={theme}]').click()")
            browser_waits(page, f"document.documentElement.dataset.theme === '{theme}'")
            for width, height in WIDTHS.items():
                page.resize(width, height)
                for name, path in pages.items():
                    if wanted != [""] and name not in wanted:
                        continue
                    page.go(f"{system.url}/console{path}")
                    wide = page.run("document.documentElement.scrollWidth")
                    assert wide <= width, f"{name} at {width}: {wide}"
                    page.resize(width, min(2400, max(height, page.run("document.documentElement.scrollHeight"))))
                    write_small(folder / f"{name}-{width}-{theme}.png", page.picture())
                    page.resize(width, height)
