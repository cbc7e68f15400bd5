"""`client.provisioning`: its routes. Made from docs/openapi.json by `python -m making`; do not edit."""

from __future__ import annotations

from headrace_client._calls import OMIT, Call, Omit
from headrace_client._sync.sending import Sender
from headrace_client.models import (
    AccountChange,
    CredentialList,
    FoundCredential,
    OneAccount,
    OneUsage,
    RotatedCredential,
    UsageList,
    UsageReport,
    WebCredential,
    YesOrNo,
)


class ProvisioningRoutes:
    """`client.provisioning`: its routes."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def get_or_create_account(self, *, user_id: str) -> OneAccount:
        """Look at a user's account. `POST /api/account/getOrCreate`.

        The first look makes it: plan and billing `free`. There is one per user, however many look at once.
        """
        return self._sender.ask(Call("POST", "/api/account/getOrCreate", body={"userId": user_id}), OneAccount)

    def record_tokens(self, *, provider: str, tokens_used: int, user_id: str) -> OneAccount:
        """Count tokens against the month. `POST /api/account/recordUsage`.

        Each call counts. What goes beyond the allowance counts as well: it was used.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/api/account/recordUsage",
                body={"provider": provider, "tokensUsed": tokens_used, "userId": user_id},
            ),
            OneAccount,
        )

    def update_account(self, *, payload: AccountChange) -> OneAccount:
        """Change what a user is on. `POST /api/account/updateAccount`.

        In place; the month's tokens stay. `premiumExpiresAt` left out: there is none any more.
        """
        return self._sender.ask(Call("POST", "/api/account/updateAccount", body={"payload": payload}), OneAccount)

    def find_active_credential(self, *, provider: str, user_id: str) -> FoundCredential:
        """Find the credential that holds. `POST /api/provisioning/findActiveCredential`.

        The newest that is `active` and has not expired; null: there is none.
        """
        return self._sender.ask(
            Call("POST", "/api/provisioning/findActiveCredential", body={"provider": provider, "userId": user_id}),
            FoundCredential,
        )

    def list_credentials(self, *, cursor: str | Omit = OMIT, limit: int | Omit = OMIT) -> CredentialList:
        """List all credentials. `POST /api/provisioning/listCredentials`.

        Of all users, the newest first.
        """
        return self._sender.ask(
            Call("POST", "/api/provisioning/listCredentials", body={"cursor": cursor, "limit": limit}), CredentialList
        )

    def list_provider_usage(self, *, user_id: str, cursor: str | Omit = OMIT, limit: int | Omit = OMIT) -> UsageList:
        """List a user's usage. `POST /api/provisioning/listUsage`.

        The newest first.
        """
        return self._sender.ask(
            Call("POST", "/api/provisioning/listUsage", body={"userId": user_id, "cursor": cursor, "limit": limit}),
            UsageList,
        )

    def mark_credential_revoked(self, *, credential_id: str) -> YesOrNo:
        """Revoke a credential. `POST /api/provisioning/markCredentialRevoked`.

        For good. False: there is none with this id.
        """
        return self._sender.ask(
            Call("POST", "/api/provisioning/markCredentialRevoked", body={"credentialId": credential_id}), YesOrNo
        )

    def record_provider_usage(self, *, entry: UsageReport) -> OneUsage:
        """Report usage. `POST /api/provisioning/recordUsage`.

        With an `id` it counts once, however often it is sent. Another report with the same id is 422 `id_taken`.
        """
        return self._sender.ask(Call("POST", "/api/provisioning/recordUsage", body={"entry": entry}), OneUsage)

    def rotate_credential(
        self, *, credential_id: str, salt: str, token_hash: str, expires_at: int | Omit = OMIT
    ) -> RotatedCredential:
        """Give a credential another token. `POST /api/provisioning/rotateCredential`.

        The token before is good no longer. One that is revoked or has expired is 400 `credential_ended`.

        Args:
            expires_at: Its new end; left out: the one that it has.
        """
        return self._sender.ask(
            Call(
                "POST",
                "/api/provisioning/rotateCredential",
                body={"credentialId": credential_id, "salt": salt, "tokenHash": token_hash, "expiresAt": expires_at},
            ),
            RotatedCredential,
        )

    def save_credential(self, *, record: WebCredential) -> YesOrNo:
        """Keep a credential. `POST /api/provisioning/saveCredential`.

        The same again is kept once. Another one with the same id is 422 `id_taken`.
        """
        return self._sender.ask(Call("POST", "/api/provisioning/saveCredential", body={"record": record}), YesOrNo)
