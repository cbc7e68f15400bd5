"""Bodies that a server packed although nobody asked it to: objects that lie packed in a bucket come in no other way."""

import zlib
from collections.abc import Iterable, Iterator

from common.addresses import AddressRefused

PIECE_BYTES = 64 * 1024  # unpacked at a time, however much there is in a chunk
# S3 stores this with what was uploaded in signed chunks, and its likes send it along with a body that is not chunked.
_PLAIN = {"", "identity", "aws-chunked"}
_GZIP = {"gzip", "x-gzip"}


def unpacked(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> Iterator[bytes]:
    """The body as it was before the server packed it; `encoding` is its Content-Encoding.

    Raises AddressRefused: bad_encoding (unknown, packed more than once, not what it says, or cut off), too_large as soon as there
    is more than `max_bytes`, whatever would have followed.
    """
    names = [name for each in encoding.lower().split(",") if (name := each.strip()) not in _PLAIN]
    if not names:
        yield from chunks
        return
    if len(names) > 1 or names[0] not in {*_GZIP, "deflate"}:
        raise AddressRefused(
            "bad_encoding", f"it was sent with Content-Encoding {encoding[:60]!r}, which was not asked for"
        )
    size = 0
    try:
        for piece in _inflated(chunks, gzip=names[0] in _GZIP):
            size += len(piece)
            if size > max_bytes:
                raise AddressRefused("too_large", f"it has more than {max_bytes} bytes")
            yield piece
    except zlib.error as error:
        raise AddressRefused("bad_encoding", f"it was sent as {names[0]}, and is not") from error


def _inflated(chunks: Iterable[bytes], *, gzip: bool) -> Iterator[bytes]:
    machine, done = None, False
    for chunk in chunks:
        data, piece = chunk, b""
        while data or len(piece) == PIECE_BYTES:
            if machine is None:
                data = data.lstrip(b"\0") if done else data  # some pad what they packed
                if not data or (done and not gzip):
                    break
                machine = zlib.decompressobj(_window(data[0], gzip=gzip))
            piece = machine.decompress(data, PIECE_BYTES)
            data = machine.unconsumed_tail
            if piece:
                yield piece
            if machine.eof:  # of gzip another member may follow
                data, piece, machine, done = machine.unused_data, b"", None, True
    if machine is not None or not done:
        raise AddressRefused("bad_encoding", "it was packed, and ends too early", retryable=True)


def _window(first: int, *, gzip: bool) -> int:
    """What zlib takes for gzip, and for the two things that servers call deflate."""
    if gzip:
        return 31
    return 15 if first & 0x0F == 8 else -15
