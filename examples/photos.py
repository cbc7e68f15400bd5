"""Pages as a browser shows them, on a wide screen and on a phone, each with a picture of it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from examples.browser import PROGRAM, browser
from examples.running import NotHere, fulfilled, same

SIZES = {"wide": (1280, 900), "phone": (390, 844)}
_PNG = b"\x89PNG\r\n\x1a\n"


class Photos(NamedTuple):
    """Takes pictures of pages and puts them into a folder."""

    folder: Path

    def take(self, url: str, name: str) -> None:
        """Look at a page in each size, as NAME-wide.png and NAME-phone.png. Raises NotHere where there is no Chromium."""
        if PROGRAM is None:
            raise NotHere("there is no Chromium on this machine")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, browser(Path(profile)) as page:
            for size, (width, height) in SIZES.items():
                page.resize(width, height)
                page.go(url)
                same(page.run("innerWidth"), width, f"the width of the page, {size}")
                fulfilled(
                    page.run("document.documentElement.scrollWidth <= innerWidth"), f"it scrolls sideways, {size}"
                )
                fulfilled(
                    page.run("[...document.images].slice(0, 4).every(i => i.naturalWidth)"), "pictures are missing"
                )
                photo = page.picture()
                same(size_of(photo), (width, height), f"the size of the picture, {size}")
                (self.folder / f"{name}-{size}.png").write_bytes(photo)


def photos_of(environment: Mapping[str, str]) -> Photos:
    """They go to HEADRACE_PICTURES, else to .headrace/pictures here."""
    return Photos(Path(environment.get("HEADRACE_PICTURES") or ".headrace/pictures"))


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height, which stand in the first chunk of a PNG; nothing of what is none."""
    if not png.startswith(_PNG):
        return 0, 0
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
