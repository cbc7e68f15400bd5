"""The far side of Xendit: invoices and refunds, and their callbacks."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tests.far_side.companies import Asked, CompanyServer, Posted, Said, iso


class XenditServer(CompanyServer):
    """Invoices and refunds. `refunds_end` is what becomes of a refund at once."""

    token = "callback-token-of-xendit"

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__(now)
        self.invoices: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.refunds_end = "SUCCEEDED"

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != "Basic " + base64.b64encode(b"xnd_development_key:").decode():
            return Said(401, {"error_code": "INVALID_API_KEY", "message": "API key is not authorized"})
        if asked.method == "POST" and asked.path == "/v2/invoices/":
            return Said(200, self._make(asked.json()))
        if asked.method == "GET" and asked.path == "/v2/invoices":
            wanted = asked.query["external_id"]
            return Said(200, [each for each in self.invoices.values() if each["external_id"] == wanted])
        if asked.method == "GET" and asked.path.startswith("/v2/invoices/"):
            found = self.invoices.get(asked.path.rpartition("/")[2])
            return (
                Said(200, found)
                if found
                else Said(404, {"error_code": "INVOICE_NOT_FOUND_ERROR", "message": "Could not find invoice"})
            )
        if asked.method == "GET" and asked.path == "/refunds":
            data = [each for each in self.refunds.values() if each["invoice_id"] == asked.query["invoice_id"]]
            return Said(200, {"data": data, "has_more": False})
        if asked.method == "POST" and asked.path == "/refunds":
            return self._refund(asked)
        return Said(404, {"error_code": "NOT_FOUND", "message": "no such route"})

    def _make(self, given: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(given["amount"], int | float)
        name = uuid4().hex[:24]
        made = {
            "id": name, "external_id": given["external_id"], "user_id": "the-merchant", "status": "PENDING",
            "merchant_name": "M", "merchant_profile_picture_url": "", "amount": given["amount"],
            "expiry_date": iso(self.now() + given.get("invoice_duration", 86400)),
            "invoice_url": f"https://checkout.xendit.co/web/{name}", "should_send_email": False, "created": iso(self.now()),
            "updated": iso(self.now()), "currency": given.get("currency", "IDR"), "available_banks": [],
        }  # fmt: skip
        self.invoices[name] = made
        return made

    def _refund(self, asked: Asked) -> Said:
        given, key = asked.json(), asked.headers["idempotency-key"]
        if key in self.refunds:
            return Said(200, self.refunds[key])
        invoice = self.invoices[given["invoice_id"]]
        gone = sum(
            each["amount"]
            for each in self.refunds.values()
            if each["invoice_id"] == invoice["id"] and each["status"] == "SUCCEEDED"
        )
        if gone + given["amount"] > invoice["paid_amount"]:
            return Said(400, {"error_code": "MAXIMUM_REFUND_AMOUNT_REACHED", "message": "too much"})
        self.refunds[key] = {
            "id": f"rfd-{uuid4()}", "invoice_id": invoice["id"], "payment_id": f"pyr-{invoice['id']}", "amount": given["amount"],
            "currency": invoice["currency"], "status": self.refunds_end, "reason": given["reason"], "created": iso(self.now()),
        }  # fmt: skip
        return Said(200, self.refunds[key])

    def pay(self, invoice_id: str, amount: float | None = None, status: str = "PAID") -> Posted:
        """Somebody pays, in time or late. Returns the hook."""
        with self.lock:
            invoice = self.invoices[invoice_id]
            invoice |= {
                "status": status, "paid_amount": invoice["amount"] if amount is None else amount, "paid_at": iso(self.now()),
                "payment_method": "BANK_TRANSFER", "payment_channel": "BCA", "updated": iso(self.now()),
            }  # fmt: skip
        return self.hook(invoice_id)

    def expire(self, invoice_id: str) -> Posted:
        with self.lock:
            self.invoices[invoice_id]["status"] = "EXPIRED"
        return self.hook(invoice_id)

    def give_back(self, invoice_id: str, amount: float, status: str = "SUCCEEDED") -> Posted:
        """The merchant refunds on its dashboard. Returns the hook."""
        with self.lock:
            invoice = self.invoices[invoice_id]
            made = {
                "id": f"rfd-{uuid4()}", "invoice_id": invoice_id, "payment_id": f"pyr-{invoice_id}", "amount": amount,
                "currency": invoice["currency"], "status": status, "reason": "OTHERS", "created": iso(self.now()),
            }  # fmt: skip
            self.refunds[made["id"]] = made
        return self._posted(
            {"event": f"refund.{status.lower()}", "business_id": "b", "created": iso(self.now()), "data": made}
        )

    def hook(self, invoice_id: str) -> Posted:
        fees = {"is_high": False, "fees_paid_amount": 0, "adjusted_received_amount": 1}
        return self._posted({**self.invoices[invoice_id], **fees})

    def _posted(self, body: Any) -> Posted:
        return Posted(
            "/hooks/xendit",
            {"x-callback-token": self.token, "content-type": "application/json"},
            json.dumps(body).encode(),
        )
