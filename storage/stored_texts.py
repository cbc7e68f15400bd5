"""Results that are texts, read whole."""

from typing import NamedTuple

from storage.s3 import StorageError, storage


class StoredText(NamedTuple):
    """What was read. `truncated`: there is more of it."""

    text: str
    truncated: bool


def read_text(key: str, most_bytes: int) -> StoredText | None:
    """A text's first bytes, whole characters. None: there is no such object. Raises StorageError where S3 is away."""
    try:
        part = storage().get_range(key, 0, most_bytes - 1)
    except StorageError as error:
        if error.missing:
            return None
        raise
    with part.chunks as chunks:
        data = b"".join(chunks)
    truncated = part.size > len(data)
    # What is cut may end within a character. PostgreSQL holds no NUL, and what has one is no text.
    return StoredText(data.decode(errors="ignore" if truncated else "replace").replace("\x00", "\ufffd"), truncated)
