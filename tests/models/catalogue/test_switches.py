"""`features = [...]` of a catalogue file, as it is read, compared and applied."""

from pathlib import Path

import pytest

from common.features import FEATURES
from models.catalogue import entries, switches
from models.db import transaction

STANDARD = entries.STANDARD_FILE.read_text()


def file_with(tmp_path: Path, line: str) -> Path:
    path = tmp_path / "catalogue.toml"
    path.write_text(f"{line}\n{STANDARD}")
    return path


@pytest.mark.parametrize(("line", "wrong"), [
    ('features = ["galery"]', "features.galery: unknown; there are gallery, collections, playground"),
    ('features = ["content", "content"]', "features.content: stands there twice"),
    ('features = "content"', "features: must be a list of names"), ("features = [1]", "features: must be a list of names"),
    ("[features]\ncontent = true", "features: must be a list of names"), (f'features = ["{"x" * 500}"]', f"features.{'x' * 40}: unknown"),
    ("feature = []", r"feature: unknown; there are features = \[…\]"),
])  # fmt: skip
def test_what_names_no_part_is_said(tmp_path: Path, line: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        entries.read_file(file_with(tmp_path, line))


@pytest.mark.usefixtures("database")
def test_a_file_switches_what_it_says_and_is_compared_like_the_rest(tmp_path: Path) -> None:
    file = entries.read_file(file_with(tmp_path, 'features = ["learning", "content"]'))
    assert file.features == ("content", "learning")
    off = [each for each in FEATURES if each not in ("content", "learning")]
    with transaction() as conn:
        assert [(each.section, each.name, each.change) for each in entries.compare(conn, file)] == [
            ("features", name, "off") for name in off
        ]
        assert entries.apply(conn, [], features=file.features) == {f"features.{name}": "off" for name in off}
        assert entries.compare(conn, file) == []
        assert switches.features_on(conn) == {"content", "learning"}
        assert entries.apply(conn, []) == {}, "who gives no features changes none"
        assert entries.apply(conn, [], features=()) == {"features.content": "off", "features.learning": "off"}
        assert switches.features_on(conn) == frozenset()
        assert entries.compare(conn, file)[0].change == "on"


def test_the_example_in_the_standard_file_names_all_parts(tmp_path: Path) -> None:
    line = next(each for each in STANDARD.splitlines() if each.startswith("#: features"))
    assert entries.read_file(file_with(tmp_path, line.removeprefix("#: "))).features == FEATURES
