"""Which companies this deployment is set up with."""

from functools import lru_cache

from common.errors import NotConfigured
from common.settings import settings
from companies.base import Company
from companies.manual import Manual
from companies.stripe import Stripe
from companies.truelayer import TrueLayer
from companies.xendit import Xendit

HOOKED = ("xendit", "stripe", "truelayer")
ORDER = (*HOOKED, "manual")


def configured() -> tuple[str, ...]:
    """Who can be asked, in the order in which they are offered."""
    return tuple(name for name in ORDER if _is_set(name))


def _is_set(name: str) -> bool:
    config = settings()
    return bool({
        "xendit": config.xendit_key, "stripe": config.stripe_key, "truelayer": config.truelayer_client_id,
        "manual": config.manual_payments,
    }[name])  # fmt: skip


def company(name: str) -> Company:
    """One of them. Raises NotConfigured."""
    if name not in ORDER or not _is_set(name):
        raise NotConfigured(f"this server takes no payments by {name[:40]!r}: see docs/payments.md for what to set")
    return _made(name, settings().payment_settings())


@lru_cache(maxsize=16)
def _made(name: str, values: tuple[tuple[str, str | None], ...]) -> Company:
    """Made once for these settings: it keeps connections and keys."""
    of = dict(values)
    if name == "xendit":
        return Xendit(of["xendit_key"] or "", _several(of["xendit_callback_token"]), of["xendit_url"] or "")
    if name == "stripe":
        return Stripe(of["stripe_key"] or "", _several(of["stripe_webhook_secret"]), of["stripe_url"] or "")
    if name == "truelayer":
        return TrueLayer(
            client_id=of["truelayer_client_id"] or "", client_secret=of["truelayer_client_secret"] or "",
            key_id=of["truelayer_key_id"] or "", private_key=(of["truelayer_private_key"] or "").replace("\\n", "\n"),
            merchant_account_id=of["truelayer_merchant_account_id"] or "", url=of["truelayer_url"] or "",
            auth_url=of["truelayer_auth_url"] or "", jwks_url=of["truelayer_jwks_url"] or "", page_url=of["truelayer_page_url"] or "",
        )  # fmt: skip
    return Manual()


def _several(text: str | None) -> tuple[str, ...]:
    """Secrets with commas between them: two during a change."""
    return tuple(each for each in (part.strip() for part in (text or "").split(",")) if each)
