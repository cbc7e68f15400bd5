"""Settings of what is sold: what users prefer, the companies that take money, the web client's tokens."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from common.time_zones import TimeZone

COMPANIES = ("xendit_", "stripe_", "truelayer_")


class SalesSettings(BaseSettings):
    """Part of `common.settings.Settings`."""

    preferred_language: str = Field("en", description="Of users who chose none; also `id`, `pt-BR`.")
    preferred_notifications: bool = Field(True, description="Whether users who did not choose are notified.")
    preferred_theme: Literal["light", "dark", "system"] = Field("system", description="Of users who chose none.")
    preferred_time_zone: TimeZone = Field("UTC", description="In which days of usage begin, for users who chose none.")

    xendit_key: SecretStr | None = Field(None, description="xnd_…; payments by Xendit are off without it.")
    xendit_callback_token: SecretStr | None = Field(
        None, description="Of Xendit's webhooks; two by a comma while it changes."
    )
    xendit_url: str = Field("https://api.xendit.co", description="Where Xendit is asked.")
    stripe_key: SecretStr | None = Field(None, description="sk_… or rk_…; payments by Stripe are off without it.")
    stripe_webhook_secret: SecretStr | None = Field(None, description="whsec_…; two by a comma while it changes.")
    stripe_url: str = Field("https://api.stripe.com", description="Where Stripe is asked.")
    truelayer_client_id: str | None = Field(None, description="Payments by TrueLayer are off without it.")
    truelayer_client_secret: SecretStr | None = Field(None, description="Goes with TRUELAYER_CLIENT_ID.")
    truelayer_key_id: str | None = Field(None, description="Of the key that signs our requests.")
    truelayer_private_key: SecretStr | None = Field(None, description="That key, PEM; line breaks may be written \\n.")
    truelayer_merchant_account_id: str | None = Field(None, description="The account at TrueLayer that is paid to.")
    truelayer_url: str = Field("https://api.truelayer.com", description="Where TrueLayer is asked.")
    truelayer_auth_url: str = Field("https://auth.truelayer.com", description="Where its tokens come from.")
    truelayer_jwks_url: str = Field(
        "https://webhooks.truelayer.com/.well-known/jwks",
        description="Where the keys of its webhooks are; nowhere else.",
    )
    truelayer_page_url: str = Field("https://payment.truelayer.com/payments", description="Where its payers go.")
    manual_payments: bool = Field(False, description="Offer payments that an operator confirms by hand.")
    payment_hours: int = Field(24, ge=1, le=24 * 365, description="How long an order may be paid.")
    refill_pause_seconds: float = Field(3600.0, ge=0, description="Between two automatic refills of an account.")

    provisioning_admin_token: SecretStr | None = Field(
        None, description="Of the web client at /api/provisioning and /api/account; two by a comma while it changes."
    )
    monthly_token_allowance: int = Field(
        50_000,
        ge=0,
        le=10**15,
        description="Of web client accounts whose plan is in no catalogue, or names none there.",
    )

    def provisioning_tokens(self) -> list[str]:
        """What the web client may send, in clear; none: its routes are off."""
        given = self.provisioning_admin_token
        return [] if given is None else [each for part in given.get_secret_value().split(",") if (each := part.strip())]

    def payment_settings(self) -> tuple[tuple[str, str | None], ...]:
        """What companies are set up with, by name; secrets in clear."""
        found = self.model_dump(include={name for name in type(self).model_fields if name.startswith(COMPANIES)})
        return tuple(
            (name, value.get_secret_value() if isinstance(value, SecretStr) else value) for name, value in found.items()
        )
