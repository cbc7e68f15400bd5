"""What is set is read as pydantic-settings reads it; exceptions from the address guard are named one by one."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from common.settings import Settings
from tests.support import OWN_SECRET


def made(monkeypatch: pytest.MonkeyPatch, value: str, environment: str = "test") -> Settings:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("SECRET_KEY", OWN_SECRET)
    monkeypatch.setenv("ALLOW_PRIVATE_ADDRESSES", value)
    return Settings(_env_file=None)


def test_places_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(monkeypatch, "").allow_private_addresses == ()
    given = made(monkeypatch, " Minio:9000, 10.0.0.5:80,::1:8080 ,")
    assert given.allow_private_addresses == ("minio:9000", "10.0.0.5:80", "::1:8080")


@pytest.mark.parametrize(
    "value", ["*", "*:80", "minio", "10.0.0.0/8", "10.0.0.0/8:80", "http://minio:9000", "a b:80", ":80"]
)
def test_networks_and_wildcards_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        made(monkeypatch, value)


@pytest.mark.parametrize("value", [
    "localhost:80", "127.0.0.1:8000", "127.9.9.9:80", "::1:80", "169.254.169.254:80", "0.0.0.0:80", "app.localhost:80",
    "::ffff:127.0.0.1:80", "metadata.google.internal:80",
])  # fmt: skip
def test_production_refuses_the_machine_itself_and_its_clouds_secrets(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    made(monkeypatch, value)
    with pytest.raises(ValueError, match="not fit for production"):
        made(monkeypatch, value, "production")


def test_production_takes_named_places_in_its_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    given = made(monkeypatch, "minio:9000,10.0.0.5:8080", "production")
    assert given.allow_private_addresses == ("minio:9000", "10.0.0.5:8080")


class AsTheLibraryReads(Settings):
    """The same settings, by the sources of pydantic-settings themselves."""

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # all of them, by name
        cls, settings_cls: type[BaseSettings], **sources: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return BaseSettings.settings_customise_sources(settings_cls, **sources)


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return "" if value is None else ",".join(value) if isinstance(value, tuple) else str(value)


def test_all_are_read_as_by_the_library_of_the_environment_and_of_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in Settings.model_fields:  # other tests' servers may be in the environment
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SECRET_KEY", OWN_SECRET)
    plain = Settings(_env_file=None)
    file = tmp_path / ".env"
    lines = [f"{name.upper()}='{_text(getattr(plain, name))}'" for name in Settings.model_fields]
    others = ["s3_Bucket=of-the-file", "API_PORT=8001", "PAGE_SIZE_MAX", "NOBODYS=1", "S3_REGION=file"]
    file.write_text("\n".join([*lines, *others]))
    monkeypatch.setenv("S3_region", "of-the-environment")
    monkeypatch.setenv("S3_PATH_STYLE", "off")
    monkeypatch.setenv("OIDC_AUDIENCE", "[1, 2]")
    monkeypatch.setenv("PUBLIC_URL", "")
    read = Settings(_env_file=file, low_credits=3)
    assert read.model_dump() == AsTheLibraryReads(_env_file=file, low_credits=3).model_dump()
    assert (read.s3_bucket, read.s3_region, read.api_port) == ("of-the-file", "of-the-environment", 8001)
    assert (read.s3_path_style, read.oidc_audience, read.low_credits) == (False, "[1, 2]", 3)
    for wrong in ("S3_SECONDS", "DATABASE_POOL_SIZE", "TRUSTED_PROXIES"):
        with monkeypatch.context() as patch, pytest.raises(ValidationError, match=wrong.lower()) as told:
            patch.setenv(wrong, "odd")
            Settings(_env_file=file)
        with monkeypatch.context() as patch, pytest.raises(ValidationError, match=wrong.lower()) as by_library:
            patch.setenv(wrong, "odd")
            AsTheLibraryReads(_env_file=file)
        assert [each["loc"] for each in told.value.errors()] == [each["loc"] for each in by_library.value.errors()]
