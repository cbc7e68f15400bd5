"""A far side: the checkout of a payment company, on this machine. Nobody's money: one button pays an invoice, and the API is called back."""

from contextlib import ExitStack
from functools import partial
from html import escape
from http.server import ThreadingHTTPServer
from typing import Any

import httpx

from examples.far_sides import place_of, serve
from examples.xendit import InvoiceApi, Xendit

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Checkout (a demonstration)</title><style>body{{font:1rem/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;
margin:0;background:#f4f6f8;color:#14202a}}main{{background:#fff;border:1px solid #d8dfe4;border-radius:14px;padding:2rem;width:min(22rem,
86vw)}}h1{{font-size:1rem;margin:0 0 1rem;color:#44525c}}b{{font-size:2rem;display:block;margin-bottom:1rem}}button,a{{font:inherit;
font-weight:600;display:block;box-sizing:border-box;text-align:center;text-decoration:none;width:100%;padding:.75rem;border:0;
border-radius:9px;background:#0a5f86;color:#fff;cursor:pointer}}</style><main>{}</main></html>"""


class Checkout(Xendit):
    """Invoices with a page of their own, at which they are paid."""

    def __init__(self, url: str, callback_token: str, api_url: str, stack: ExitStack) -> None:
        self._token, self._api_url = callback_token, api_url
        self._invoices: dict[str, dict[str, Any]] = {}
        handler = partial(_Counter, self._invoices, self, url)
        serve(ThreadingHTTPServer(place_of(url, 80), handler), stack)

    def take(self, payment_id: str) -> int:
        """Pay, and tell the API. Returns how that was answered."""
        self.pay(payment_id)
        with httpx.Client(base_url=self._api_url, trust_env=False) as client:
            return self.call_back(client, payment_id)


class _Counter(InvoiceApi):
    def __init__(self, invoices: dict[str, dict[str, Any]], checkout: Checkout, url: str, *given: Any) -> None:
        self._checkout = checkout
        self.pay_place = f"{url}/web"
        super().__init__(invoices, *given)

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it so
        found = self._invoices.get(self.path.removeprefix("/web/"))
        if found is None:
            super().do_GET()
            return
        amount = escape(f"{found['amount']} {found['currency']}")
        self._show(
            f"<h1>{escape(found['description'] or 'Credits')}</h1><b>{amount}</b><form method=post><button>Pay {amount}</button></form>"
        )

    def do_POST(self) -> None:  # noqa: N802 - http.server calls it so
        found = self._invoices.get(self.path.removeprefix("/web/"))
        if found is None:
            super().do_POST()
            return
        status = self._checkout.take(found["external_id"])
        if status != 200:
            self._show(f"<h1>The shop did not understand: {status}</h1>")
        elif found["back"]:
            self.send_response(303)
            self.send_header("location", found["back"])
            self.end_headers()
        else:
            self._show("<h1>Paid. You may close this.</h1>")

    def _show(self, body: str) -> None:
        page = PAGE.format(body).encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
