"""Settings of what people read and look for."""

from typing import Literal
from uuid import UUID

from pydantic import Field
from pydantic_settings import BaseSettings

# Those that PostgreSQL has stems for; `simple` has none.
SearchLanguage = Literal[
    "simple", "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese", "romanian",
    "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish",
]  # fmt: skip


class ContentSettings(BaseSettings):
    """Part of `common.settings.Settings`."""

    content_language: SearchLanguage = Field(
        "english",
        description="Of articles, for their search. One that is saved is found by the stems of this language.",
    )
    content_url: str = Field(
        "", description="Where people read articles: https://example.com/news/{slug}; empty: the API's own address."
    )
    content_title: str = Field("News and research", description="Of the feeds.")
    search_language: SearchLanguage = Field("english", description="In which prompts are searched; simple: in none.")
    house_account: UUID | None = Field(None, description="The account that pays for summaries; empty: there are none.")
    summary_model: str = Field("sketch-text", description="The model that writes them, unless an order names another.")
