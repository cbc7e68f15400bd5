"""A far side: who Xendit is to a product, on this machine. It keeps invoices, and calls back when one is paid or has expired."""

import json
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from examples.far_sides import place_of, serve
from examples.noting import NOTES


class Xendit:
    """A merchant's invoices, for as long as the stack is open."""

    def __init__(self, url: str, callback_token: str, stack: ExitStack) -> None:
        self._token = callback_token
        self._invoices: dict[str, dict[str, Any]] = {}
        serve(ThreadingHTTPServer(place_of(url, 80), partial(InvoiceApi, self._invoices)), stack)

    def invoice_of(self, payment_id: str) -> dict[str, Any]:
        """The one invoice that was made for a payment."""
        (found,) = (each for each in self._invoices.values() if each["external_id"] == payment_id)
        return found

    def pay(self, payment_id: str) -> None:
        """The user has paid."""
        invoice = self.invoice_of(payment_id)
        invoice |= {"status": "PAID", "paid_amount": invoice["amount"], "paid_at": datetime.now(UTC).isoformat()}

    def expire(self, payment_id: str) -> None:
        """Nobody has paid in time."""
        self.invoice_of(payment_id)["status"] = "EXPIRED"

    def call_back(self, client: httpx.Client, payment_id: str, *, forged: bool = False) -> int:
        """Tell of an invoice: it, as it is. Returns how that was answered."""
        NOTES.call("POST /hooks/xendit, by Xendit")
        headers = {"x-callback-token": "of somebody else" if forged else self._token}
        return client.post("/hooks/xendit", json=self.invoice_of(payment_id), headers=headers).status_code


class InvoiceApi(BaseHTTPRequestHandler):
    """Xendit's API, as far as it is needed: invoices are made, found and looked at, and none is refunded."""

    pay_place = "https://checkout.xendit.co/web"

    def __init__(self, invoices: dict[str, dict[str, Any]], *given: Any) -> None:
        self._invoices = invoices
        super().__init__(*given)

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/refunds":
            self._answer(200, {"data": [], "has_more": False})
        elif asked.path == "/v2/invoices":
            wanted = parse_qs(asked.query)["external_id"]
            self._answer(200, [each for each in self._invoices.values() if each["external_id"] in wanted])
        elif (found := self._invoices.get(asked.path.removeprefix("/v2/invoices/"))) is not None:
            self._answer(200, found)
        else:
            self._answer(404, {"error_code": "INVOICE_NOT_FOUND_ERROR", "message": "Could not find invoice"})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ends = datetime.now(UTC) + timedelta(seconds=given["invoice_duration"])
        name = uuid.uuid4().hex
        self._invoices[name] = {
            "id": name, "external_id": given["external_id"], "user_id": "the-merchant", "status": "PENDING",
            "amount": given["amount"], "currency": given["currency"], "expiry_date": ends.isoformat(),
            "invoice_url": f"{self.pay_place}/{name}", "description": given.get("description"),
            "back": given.get("success_redirect_url"),
        }  # fmt: skip
        self._answer(200, self._invoices[name])

    def _answer(self, status: int, what: Any) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""
