"""TrueLayer v3: bank transfers into a merchant account. Requests are signed, and so are its hooks.

Shapes and traps: ../shared/wire/payments.md, section 4. `settled` is money, `executed` is not. One key signs the hooks of all of
its clients, so a hook is believed in nothing but that something is to be looked at, and only ids that we made are.
"""

import hmac
import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from truelayer_signing import HttpMethod, extract_jws_header, sign_with_pem, verify_with_jwks

from common.errors import InvalidInput
from common.money import from_wire, to_wire
from companies.base import (
    Away,
    CompanyOrder,
    CompanyStanding,
    Hint,
    NotSigned,
    NotUnderstood,
    OpenedOrder,
    Refused,
    State,
    Unknown,
    WithoutCards,
    made_at,
)
from companies.hooks import id_by_content, json_object, text_of, texts_of
from companies.http import Wires, text_at
from companies.times import in_time, moment_of

NAME = "truelayer"
URL = "https://api.truelayer.com"
AUTH_URL = "https://auth.truelayer.com"
JWKS_URL = "https://webhooks.truelayer.com/.well-known/jwks"
PAGE_URL = "https://payment.truelayer.com/payments"
TIMESTAMP = "X-Tl-Webhook-Timestamp"
TOLERANCE_SECONDS = 300
STATES: Mapping[str, State] = {
    "authorization_required": "pending", "authorizing": "pending", "attempt_failed": "pending", "authorized": "processing",
    "executed": "processing", "settled": "paid", "failed": "failed",
}  # fmt: skip
TOKEN_SPARE_SECONDS = 60  # before its end a token is renewed
JWKS_SECONDS, JWKS_AGAIN_SECONDS, FAILED_AGAIN_SECONDS = (
    3600.0,
    60.0,
    5.0,
)  # how long keys are known; how soon an unknown key is looked for again
MAX_SIGNATURE = 4096
PAGE = timedelta(minutes=15)  # after which a payment that nobody has authorised is dead there
ERRORS = "https://docs.truelayer.com/"  # begins the `type` of each of its errors


class TrueLayer(WithoutCards):
    """One client of TrueLayer."""

    name = NAME

    def __init__(
        self, *, client_id: str, client_secret: str, key_id: str, private_key: str, merchant_account_id: str, url: str = URL,
        auth_url: str = AUTH_URL, jwks_url: str = JWKS_URL, page_url: str = PAGE_URL,
    ) -> None:  # fmt: skip
        self._client = {"client_id": client_id, "client_secret": client_secret}
        self._key_id, self._private_key, self._account = key_id, private_key, merchant_account_id
        self._wires, self._auth = (
            Wires(NAME, url, word=_word),
            Wires(NAME, auth_url, word=lambda error: text_at(error, "error")),
        )
        self._page_url = page_url
        self._token: tuple[str, float] = ("", 0.0)
        self._lock = threading.Lock()
        self._keys = HookKeys(jwks_url)

    def open(self, order: CompanyOrder) -> OpenedOrder:
        """As `Company.open`. The payer goes to the bank from TrueLayer's own page, which is dead 15 minutes after it was made: so
        is the order, counted from when it was written down, which is never later.
        """
        ends_at = made_at(order.id) + PAGE
        if ends_at <= datetime.now(UTC):  # asked again with the same key it would be the dead page
            raise Refused("an order for truelayer can be paid for 15 minutes, and they have passed: order again")
        if order.interval is not None and order.keep_card:
            raise Refused("truelayer keeps no card")
        if not order.email:
            raise Refused("truelayer wants the payer's e-mail address")
        try:
            amount = to_wire(NAME, order.currency, order.amount)
        except InvalidInput as error:
            raise Refused(error.detail) from None
        asked = {
            "amount_in_minor": int(amount), "currency": order.currency,
            "payment_method": {
                "type": "bank_transfer", "provider_selection": {"type": "user_selected"},
                "beneficiary": {"type": "merchant_account", "merchant_account_id": self._account},
            },
            "user": {"name": order.name or order.email, "email": order.email}, "metadata": {"order": str(order.id)},
        }  # fmt: skip
        made = self._post("/v3/payments", asked, key=str(order.id))
        try:
            place = f"payment_id={quote(made['id'])}&resource_token={quote(made['resource_token'])}"
        except (KeyError, TypeError):
            raise Away("truelayer answered what is no payment") from None
        return OpenedOrder(
            made["id"], f"{self._page_url}#{place}&return_uri={quote(order.return_url, safe='')}", ends_at
        )

    def look(self, company_id: str) -> CompanyStanding:
        """As `Company.look`."""
        found = self._ask("GET", f"/v3/payments/{quote(company_id, safe='')}")
        try:
            state = STATES.get(found["status"])
            if state is None:
                raise NotUnderstood(f"truelayer has a status that is not known here: {text_of(found['status'])}")
            our_id = text_of((found.get("metadata") or {}).get("order"))
            if state != "paid":
                return CompanyStanding(company_id, our_id, state, reason=text_of(found.get("failure_reason")))
            currency = found["currency"]
            refunds = self._ask("GET", f"/v3/payments/{quote(company_id, safe='')}/refunds")["items"]
            refunds = in_time(refunds, "created_at")
            gone = sum(
                (
                    from_wire(NAME, currency, each["amount_in_minor"])
                    for each in refunds
                    if each["status"] == "executed"
                ),
                Decimal(0),
            )
            return CompanyStanding(
                company_id, our_id, state, company_id, from_wire(NAME, currency, found["amount_in_minor"]), currency, gone,
                bool(refunds) and refunds[-1]["status"] == "failed",
                paid_at=moment_of(found.get("settled_at")),
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError, ValueError, InvalidInput) as error:
            raise NotUnderstood(f"truelayer answered what is no payment: {type(error).__name__}: {error}") from None

    def refund(self, company_id: str, amount: Decimal, currency: str, *, key: str, reason: str) -> None:
        """As `Company.refund`."""
        del reason
        asked = {"amount_in_minor": int(to_wire(NAME, currency, amount)), "reference": f"refund {key[:8]}"}
        self._post(f"/v3/payments/{quote(company_id, safe='')}/refunds", asked, key=key)

    def read_hook(self, headers: Mapping[str, str], body: bytes, *, path: str, now: float) -> Hint:
        """As `Company.read_hook`. The address of the keys is compared whole before anything is fetched, and the age is ours to
        check: the package does not.
        """
        signature, sent_at = headers.get("tl-signature", ""), headers.get(TIMESTAMP.lower(), "")
        if not 0 < len(signature) <= MAX_SIGNATURE or not sent_at:
            raise NotSigned("Tl-Signature or X-Tl-Webhook-Timestamp is missing or too long")
        if abs(now - _seconds(sent_at)) > TOLERANCE_SECONDS:  # first: what is old costs nobody a key
            raise NotSigned(f"X-Tl-Webhook-Timestamp is more than {TOLERANCE_SECONDS} s from our time")
        try:
            text = body.decode()
            header = extract_jws_header(signature)
            self._check_place(header.jku)
            verifier = verify_with_jwks(self._keys.of(header.kid), header)
            verifier.set_method(HttpMethod.POST).set_path(path).add_headers(dict(headers)).set_body(text)
            verifier.add_required_headers([TIMESTAMP]).verify(signature)
        except (NotSigned, Away):
            raise
        except (Exception, RecursionError):  # noqa: BLE001 - it raises six kinds besides its own, for what a stranger sent
            raise NotSigned("the signature does not fit this body, path and time") from None
        event = json_object(body)
        kind = text_of(event.get("type")) or "unknown"
        return Hint(
            text_of(event.get("event_id")) or id_by_content(body), kind, texts_of(event.get("payment_id")), event
        )

    def _check_place(self, jku: object) -> None:
        if not isinstance(jku, str) or not hmac.compare_digest(jku.encode(), self._keys.url.encode()):
            raise NotSigned("the keys of this signature are not where TrueLayer's are")

    def _post(self, path: str, asked: Mapping[str, Any], *, key: str) -> Any:
        body = json.dumps(asked)
        signature = (
            sign_with_pem(self._key_id, self._private_key).set_method(HttpMethod.POST).set_path(path)
            .add_header("Idempotency-Key", key).set_body(body).sign()
        )  # fmt: skip
        return self._ask("POST", path, body=body.encode(), headers={"Idempotency-Key": key, "Tl-Signature": signature})

    def _ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        sent = {**(headers or {}), "authorization": f"Bearer {self._bearer()}"}
        try:
            return self._wires.ask(method, path, headers=sent, **more)
        except Away:
            self._token = ("", 0.0)  # it may have been withdrawn: the next question asks for another
            raise

    def _bearer(self) -> str:
        """Our token there, kept until shortly before its end."""
        with self._lock:
            if time.monotonic() < self._token[1]:
                return self._token[0]
            asked = json.dumps({**self._client, "grant_type": "client_credentials", "scope": "payments"}).encode()
            try:
                found = self._auth.ask("POST", "/connect/token", body=asked)
                token, lasts = str(found["access_token"]), float(found["expires_in"])
            except (Refused, Unknown, KeyError, TypeError, ValueError):
                raise Away("truelayer gives no token: look at the settings") from None
            self._token = token, time.monotonic() + lasts - TOKEN_SPARE_SECONDS
            return token


class HookKeys:
    """The keys that TrueLayer signs its hooks with. A key that is not known is looked for at most once a minute."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._found: dict[str, Any] = {"keys": []}
        self._at = self._failed_at = float("-inf")
        self._lock = threading.Lock()
        self._wires = Wires(NAME, url, word=_word)

    def of(self, kid: str) -> dict[str, Any]:
        """The keys, with that one if there is one. Raises Away."""
        with self._lock:
            age = time.monotonic() - self._at
            is_known = any(each.get("kid") == kid for each in self._found["keys"])
            if age > JWKS_SECONDS or (not is_known and age > JWKS_AGAIN_SECONDS):
                self._fetch(is_needed=not is_known)
            return self._found

    def _fetch(self, *, is_needed: bool) -> None:
        if time.monotonic() - self._failed_at >= FAILED_AGAIN_SECONDS:
            try:
                found = self._wires.ask("GET", "")
                self._found = {"keys": [each for each in found["keys"] if isinstance(each, dict)]}
                self._at = time.monotonic()
            except (Refused, Unknown, Away, KeyError, TypeError):
                self._failed_at = time.monotonic()
            else:
                return
        if is_needed:
            raise Away("truelayer's keys cannot be had now")


def _word(error: Any) -> str:
    if not text_at(error, "type").startswith(ERRORS):
        raise KeyError("type")
    return f"{text_at(error, 'title')}: {error.get('detail', '')}"


def _seconds(text: str) -> float:
    """A time in seconds, of ISO 8601 or a number. Raises NotSigned."""
    try:
        moment = None if text.isdigit() else moment_of(text)
        return float(text) if moment is None else moment.timestamp()
    except (ValueError, OverflowError, OSError):
        raise NotSigned("X-Tl-Webhook-Timestamp is no time") from None
