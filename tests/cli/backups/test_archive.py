"""A backup's folder: what is no whole backup is not taken for one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.backups import archive
from cli.backups.archive import BackedObject, Manifest, NotABackup


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, Manifest]:
    for name in (archive.DUMP, archive.LIST):
        (tmp_path / name).write_bytes(b"")
    sums = [archive.sum_of(tmp_path / name) for name in (archive.DUMP, archive.LIST)]
    manifest = Manifest(
        "0.1.0", "0037", "18.6", datetime(2026, 1, 2, tzinfo=UTC), 0, *sums, "copy", 0, 0, 0, {"jobs": 1}
    )
    archive.write_manifest(tmp_path, manifest)
    return tmp_path, manifest


def test_a_manifest_says_again_what_was_written(whole: tuple[Path, Manifest]) -> None:
    found = archive.read_manifest(whole[0])
    assert found == whole[1]
    archive.check_files(whole[0], found)


@pytest.mark.parametrize("name", [archive.DUMP, archive.LIST])
def test_a_file_that_was_changed_or_is_missing_is_found(whole: tuple[Path, Manifest], name: str) -> None:
    (whole[0] / name).write_bytes(b"x")
    with pytest.raises(NotABackup, match="SHA-256"):
        archive.check_files(*whole)
    (whole[0] / name).unlink()
    with pytest.raises(NotABackup, match="missing"):
        archive.check_files(*whole)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"{}", b'{"format": 1}', b'{"format": 2}', b'{"format": 1, "taken_at": 5}']
)
def test_nonsense_is_no_manifest(whole: tuple[Path, Manifest], text: bytes) -> None:
    (whole[0] / archive.MANIFEST).write_bytes(text)
    with pytest.raises(NotABackup):
        archive.read_manifest(whole[0])


def test_what_was_not_finished_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(NotABackup, match="not finished"):
        archive.read_manifest(archive.partial_of(tmp_path / "kept"))
    with pytest.raises(NotABackup, match="no backup"):
        archive.read_manifest(tmp_path)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "results/../../x", "a//b", "a/./b", "a/", "a\0b"])
def test_a_key_never_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(NotABackup):
        archive.place_of(tmp_path, key)


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    objects = [BackedObject(f"results/{n}", "image/png", n, None, missing=bool(n % 2)) for n in range(5)]
    with archive.open_private(tmp_path / "list") as file:
        for one in objects:
            archive.write_object(file, one)
    assert list(archive.read_objects(tmp_path / "list")) == objects
