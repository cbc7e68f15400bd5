"""What a measuring says to those who decide: whether fetching again may help, what the bytes were, what they may stand for."""

import errno
import os
import resource
from pathlib import Path

import pytest

from storage.media import Media, UnusableResult, describe, kind_of, kinds_of, measure, measure_picture
from storage.sandbox.pool import SandboxAway
from tests.storage.conftest import Writer
from tests.storage.samples import film, moving_picture, picture, sound, wave_file

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80"><rect width="10" height="10"/></svg>'


def refused(file: Writer, data: bytes, **options: str) -> UnusableResult:
    with pytest.raises(UnusableResult) as caught:
        measure(file(data), **options)
    return caught.value


@pytest.mark.parametrize(("data", "code", "said"), [
    (b"<!DOCTYPE html><html><h1>502 Bad Gateway</h1></html>", "unexpected_page", "an HTML page beginning with '<!DOCTYPE html>"),
    (b"\n <HTML>\n<b>no</b>", "unexpected_page", "an HTML page beginning with '<HTML> <b>no"),
    (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x"><html/>', "unexpected_page", "xml"),
    (b"<!-- a proxy's page --><!-- of two comments --> <html>", "unexpected_page", "a proxy"),
    (b"<head><title>403</title></head>", "unexpected_page", "HTML"), (b"<body>gone", "unexpected_page", "HTML"),
    (b"\xef\xbb\xbf<!doctype html>", "unexpected_page", "an HTML page"),
    (bytes(range(16)) * 4, "unknown_result", "unknown bytes 00 01 02 03"),
    (b"PK\x03\x04\x14\x00\x00\x00" + bytes(50), "unknown_result", "unknown bytes 50 4b 03 04"),
    (b"%PDF-1.7\n%\xb5\xed\xae\xfb", "unknown_result", "unknown bytes 25 50 44 46"), ("größer".encode("latin-1"), "unknown_result", "unknown bytes 67 72 f6"),
    ("größer".encode("utf-16"), "unknown_result", "unknown bytes ff fe"), (b"RIFF\x10\x00\x00\x00AVI LIST", "unknown_result", "unknown bytes 52 49 46 46"),
])  # fmt: skip
def test_what_is_no_result_is_named_and_would_come_again(file: Writer, data: bytes, code: str, said: str) -> None:
    error = refused(file, data)
    assert (error.code, error.cut_off) == (code, False)
    assert said in error.message
    assert error.message.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        picture()[:500],
        wave_file(bytes(800))[:100],
        film()[:2000],
        SVG[:-3],
        "é".encode()[:1],
        sound("flac", "flac")[:9000],
    ],
)
def test_what_is_cut_off_or_empty_is_worth_fetching_again(file: Writer, data: bytes) -> None:
    error = refused(file, data)
    assert error.cut_off
    assert error.code == ("broken_result" if data else "empty_result")


def test_too_large_would_come_again(file: Writer) -> None:
    gif = bytearray(picture("GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    error = refused(file, bytes(gif))
    assert (error.code, error.cut_off) == ("result_too_large", False)


@pytest.mark.parametrize(("head", "said"), [
    (b"", "no bytes at all"), (b"I am sorry, I cannot\ndo that.", "a text beginning with 'I am sorry, I cannot do that.'"),
    (b'{"error": {"message": "overloaded"}}', 'JSON: {"error": {"message": "overloaded"}}'), (b"[1, 2]", "JSON: [1, 2]"),
    (b"[Narrator]: hello", "a text beginning with '[Narrator]: hello'"), (b"\xef\xbb\xbfhi \x1b[31m\x07", "a text beginning with 'hi \ufffd[31m\ufffd'"),
    ("é".encode() * 300, "a text beginning with '" + "é" * 100 + "'"), (picture()[:512], "a file of kind PNG"), (bytes(40), "unknown bytes 00 00"),
    (("a" * 511 + "é").encode()[:512], "a text beginning with 'aaaa"), (b"\xff\xff\xff", "unknown bytes ff ff ff"),
])  # fmt: skip
def test_bytes_are_described_in_words_that_can_be_stored_and_shown(head: bytes, said: str) -> None:
    found = describe(head)
    assert found.startswith(said)
    assert found.isprintable()
    assert len(found) < 200


@pytest.mark.parametrize(("media_type", "kind"), [
    ("image/png", "image"), ("image/svg+xml", "image"), ("video/mp4", "video"), ("video/x-matroska", "video"), ("audio/mpeg", "speech"),
    ("audio/L16;rate=24000;channels=1", "speech"), ("text/plain; charset=utf-8", "text"), ("application/json", "text"),
    ("Text/HTML; charset=utf-8", None), ("application/octet-stream", None), ("", None), ("nonsense", None),
])  # fmt: skip
def test_every_type_is_of_one_kind_of_model_or_none(media_type: str, kind: str | None) -> None:
    assert kind_of(media_type) == kind


def test_what_a_result_may_stand_for(file: Writer) -> None:
    for data, kinds in (
        (picture(), {"image"}), (moving_picture("GIF"), {"image", "video"}), (film(), {"video"}), (wave_file(bytes(800)), {"speech"}),
        (sound("ipod", "aac", cover=False), {"speech"}), (b"I cannot say that.", {"text"}), (b'{"error": "no"}', {"text"}), (SVG, {"image", "text"}),
    ):  # fmt: skip
        assert kinds_of(measure(file(data))) == kinds
    assert kinds_of(Media("application/zip", "zip")) == set()


@pytest.mark.parametrize(("svg", "size"), [
    (SVG, (120, 80)), (b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n' + SVG, (120, 80)),
    (b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- Generator: x --><!DOCTYPE svg [<!ENTITY ns "http://www.w3.org/2000/svg">]>\n' + SVG, (120, 80)),
    (b'\xef\xbb\xbf\n<svg viewBox="0 0 300 150"/>', (300, 150)), (b'<svg viewBox="0,0,300,150" width="100%"/>', (300, 150)), (b"<svg/>", (None, None)),
    (b'<s:svg xmlns:s="http://www.w3.org/2000/svg" width="1in" height="25.4mm"/>', (96, 96)), (b'<svg width="9e9" height="1"/>', (None, None)),
    (b'<svg width="999999999" height="1"/>', (None, None)), (b'<svg width="0" height="5"/>', (None, None)), (b'<svg width="2em" height="5"/>', (None, None)),
])  # fmt: skip
def test_a_drawing_is_a_picture_and_no_page(file: Writer, svg: bytes, size: tuple[int | None, int | None]) -> None:
    found = measure(file(svg))
    assert (found.media_type, found.extension, found.thumbnail) == ("image/svg+xml", "svg", None)
    assert (found.width, found.height) == size


def test_a_drawing_that_fetches_or_grows_does_neither(file: Writer) -> None:
    tenfold = b"".join(b'<!ENTITY a%d "%s">' % (n + 1, b"&a%d;" % n * 10) for n in range(9))
    laughs = b'<!DOCTYPE svg [<!ENTITY a0 "ha">' + tenfold + b"]><svg>&a9;</svg>"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert measure(file(laughs)).extension == "txt"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    outside = b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg width="5" height="5">&x;</svg>'
    assert measure(file(outside)).extension in {"svg", "txt"}


def test_sentences_about_a_drawing_or_a_page_are_texts(file: Writer) -> None:
    for text in (SVG + b"\nThat was the drawing.", b"Write <html> first.", b"<think>Well</think>", b"<", b"<!--", b"<?php echo 1;",
                 b"<!doctype", b"<!DOCTYPE note><note/>", b"<htmlish>"):  # fmt: skip
        assert measure(file(text)).media_type.startswith("text/plain")


def test_a_page_that_was_ordered_as_a_text_is_the_text(file: Writer) -> None:
    """A model that writes was asked for a page. One that was fetched from an address is a server's, whatever was ordered."""
    page = b"<!DOCTYPE html><html><body>Your page</body></html>"
    for data in (page, SVG):
        assert measure(file(data), claimed="text/plain", ordered="text").media_type.startswith("text/plain")
    for options in ({}, {"claimed": "text/plain"}, {"ordered": "text"}, {"claimed": "text/plain", "ordered": "image"}):
        assert refused(file, page, **options).code == "unexpected_page"


def test_many_comments_before_a_page_take_no_time(file: Writer) -> None:
    assert measure(file(b"<!-- -->" * 8000 + b"<")).extension == "txt"
    assert measure(file(b"<!--" * 16_000)).extension == "txt"
    assert measure(file(b"<!doctype x [" * 5000)).extension == "txt"


def error_number(path: Path) -> int | None:
    try:
        measure(path)
    except OSError as error:
        return error.errno
    except SandboxAway:  # ours as well: its process could not be started
        return errno.EMFILE
    return None


@pytest.mark.parametrize(
    "make",
    [
        film,
        lambda: film("webm", "libvpx"),
        lambda: wave_file(bytes(800)),
        picture,
        lambda: sound("flac", "flac"),
        lambda: b"text",
    ],
)
def test_a_machine_without_handles_does_not_call_a_result_broken(file: Writer, make) -> None:
    """What is ours is no fault of the result, which was paid for."""
    path = file(make())
    assert error_number(path.with_name("gone")) == errno.ENOENT
    assert (
        error_number(path) is None
    )  # the process that reads files is there now: after a failed start it rests a while
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen = set()
    for spare in range(12):
        free = [os.open(path, os.O_RDONLY) for _ in range(spare + 1)]  # there may be gaps between those in use
        for each in free:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(free), hard))
        try:
            seen.add(error_number(path))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert seen == {errno.EMFILE, None}


def test_a_small_picture_that_is_none_says_what_it_is() -> None:
    with pytest.raises(UnusableResult) as caught:
        measure_picture(b"I am no picture")
    assert caught.value.code == "unknown_result"
    assert "I am no picture" in caught.value.message
