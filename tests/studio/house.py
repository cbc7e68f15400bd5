"""What tests of examples/studio share: a running studio with its checkout, and somebody at a browser."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from cli.embedded.servers import free_ports
from examples.browser import PROGRAM, Page
from examples.studio.checkout import Checkout
from examples.studio.server import BUILT
from examples.studio.starting import open_service, put_on_sale, settings_of
from models.db import transaction
from models.identity import acting
from tests.api.console.house import browser_waits
from tests.support import System

needs_studio = pytest.mark.skipif(
    PROGRAM is None or not (BUILT / "index.html").exists(),
    reason="the studio is not built, or there is no Chromium on this machine: make tools",
)
KEYS = {
    "Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " "), "ArrowRight": (39, ""), "ArrowDown": (40, ""),
}  # fmt: skip


# How a control is called, by what is seen and said of it.
NAME = """(each) => { const copy = each.cloneNode(true); copy.querySelectorAll('[aria-hidden]').forEach((one) => one.remove());
  return each.getAttribute('aria-label') ?? copy.textContent.trim(); }"""


class StudioHouse:
    """A studio that runs: API with the studio in it, worker, scheduler, and a checkout that takes nobody's money."""

    def __init__(self, system: System, key: str) -> None:
        self.system, self.key = system, key
        self.url = f"{system.url}/studio"

    def person(self, email: str) -> UUID:
        """The account of somebody who has one from now on, with what the plan gives."""
        with transaction() as conn:
            return acting.create(conn, acting.named(f"email:{email}")).account_id

    def api(self, email: str) -> httpx.Client:
        """The API for somebody, as the studio's server asks it."""
        headers = {"authorization": f"Bearer {self.key}", "headrace-account": f"email:{email}"}
        return httpx.Client(base_url=self.system.url, headers=headers, timeout=30)


@contextmanager
def studio_house(system: System) -> Iterator[StudioHouse]:
    """The studio for the time of a block."""
    checkout_url = f"http://127.0.0.1:{free_ports(1)[0]}"
    settings = settings_of(system.url, checkout_url)
    with ExitStack() as stack:
        put_on_sale()
        key = open_service()
        Checkout(checkout_url, settings["XENDIT_CALLBACK_TOKEN"], system.url, stack)
        given = {**settings, "STUDIO_KEY": key}
        system.start("api", "worker", "scheduler", api=given, worker=given, scheduler=given)
        yield StudioHouse(system, key)


class Somebody:
    """A person at a tab of a browser: they see, press and type."""

    def __init__(self, house: StudioHouse, tab: Page, email: str) -> None:
        self.house, self.tab, self.email = house, tab, email

    def sees(self, expression: str) -> None:
        """Until this is so in the page."""
        browser_waits(self.tab, expression)

    def reads(self, text: str) -> None:
        """Until the page says this somewhere."""
        self.sees(f"document.body.innerText.includes({json.dumps(text)})")

    def goes(self, place: str) -> None:
        """Open an address of the studio."""
        self.tab.go(self.house.url + place)

    def presses(self, name: str, within: str = "body") -> None:
        """Press the button or link of this name, once it can be pressed."""
        find = (
            f"[...document.querySelectorAll('{within} :is(a, button, label, summary)')].find((each) => "
            f"!each.disabled && ({NAME})(each) === {json.dumps(name)})"
        )
        self.sees(find)
        self.tab.run(f"{find}.click()")

    def opens(self, words: str, kind: str = "Picture") -> None:
        """Look at what was made of these words."""
        self.presses(f"{kind}: {words}")
        self.sees("document.querySelector('dialog.look[open]')")

    def writes(self, field: str, text: str) -> None:
        """Put the cursor into a field and type."""
        self.sees(f"document.querySelector({json.dumps(field)})")
        self.tab.run(
            f"document.querySelector({json.dumps(field)}).focus(); document.querySelector({json.dumps(field)}).select?.(); 0"
        )
        self.tab.call("Input.insertText", text=text)

    def chooses(self, label: str, value: str) -> None:
        """Choose from a list."""
        self.sees(f"document.querySelector('select[aria-label=\"{label}\"]')")
        self.tab.run(f"""(() => {{ const list = document.querySelector('select[aria-label="{label}"]');
            Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(list, {json.dumps(value)});
            list.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()""")

    def hits(self, key: str, *, control: bool = False) -> None:
        """Press a key, as a keyboard does."""
        code, text = KEYS[key]
        what: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        self.tab.call("Input.dispatchKeyEvent", type="keyDown", text=text, **what)
        self.tab.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def tabs_to(self, selector: str) -> None:
        """Press Tab until the focus is there, once it can be. Whatever has it on the way is seen to have it."""
        self.sees(f"[...document.querySelectorAll({json.dumps(selector)})].some((each) => !each.disabled)")
        for _ in range(60):
            if self.tab.run(f"Boolean(document.activeElement?.matches({json.dumps(selector)}))"):
                return
            self.hits("Tab")
            shown = self.tab.run("""(() => { const each = document.activeElement, box = each.getBoundingClientRect();
                if (each === document.body) return true;
                const rings = [each, each.parentElement, each.closest('form')].filter(Boolean).map((one) => getComputedStyle(one).outlineStyle);
                return box.width > 0 && rings.some((ring) => ring !== 'none'); })()""")
            assert shown, self.tab.run("document.activeElement.outerHTML")
        raise AssertionError(f"no Tab leads to {selector}")

    def signs_in(self) -> None:
        """Come in, and know the balance."""
        self.goes("/")
        self.writes("#email", self.email)
        self.presses("Come in")
        self.sees("/^\\d+$/.test(document.querySelector('[data-balance]')?.innerText)")

    def has(self, credits: int) -> None:
        """Until the page shows this balance."""
        self.sees(f"document.querySelector('[data-balance]')?.innerText === '{credits}'")

    def orders(self, words: str, kind: str = "Picture", model: str | None = None) -> None:
        """Say what it shall be, and make it for the price that is shown."""
        self.presses(kind, ".kinds")
        if model is not None:
            self.chooses("Made with", model)
        self.writes("#words", words)
        price = "document.querySelector('.knobs .primary').innerText"
        self.sees(f"/^Make for \\d+ credits?$/.test({price}) && !document.querySelector('.knobs .primary').disabled")
        self.tab.run("document.querySelector('.knobs .primary').click()")
