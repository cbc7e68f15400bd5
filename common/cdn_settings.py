"""Settings of a CDN in front of files."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from common import places


class CdnSettings(BaseSettings):
    """Part of `common.settings.Settings`."""

    cdn_url: str | None = Field(
        None, description="Of the CDN that fetches PUBLIC_URL/files: where clients fetch files; no slash at the end."
    )
    cdn_cache_seconds: int = Field(86_400, ge=0, le=31_536_000, description="Longest that it keeps a file.")
    cdn_purge_url: str | None = Field(
        None, description='Told of files that are gone, as {"files": ["https://…", …]}; a POST.'
    )
    cdn_purge_header: str = Field(
        "authorization", pattern="^[A-Za-z0-9-]{1,100}$", description="The header that carries CDN_PURGE_TOKEN."
    )
    cdn_purge_token: SecretStr | None = Field(None, description="After `Bearer ` in the header authorization.")

    @model_validator(mode="after")
    def _purges_go_somewhere(self) -> Self:
        if self.cdn_purge_url is not None:
            places.web_address("CDN_PURGE_URL", self.cdn_purge_url, bare=False)
        return self

    def purge_headers(self) -> dict[str, str]:
        """What shows the CDN who tells it."""
        if self.cdn_purge_token is None:
            return {}
        token, name = self.cdn_purge_token.get_secret_value(), self.cdn_purge_header.lower()
        return {name: f"Bearer {token}" if name == "authorization" else token}
