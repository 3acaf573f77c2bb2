"""Targets with bytes beyond ASCII become such as the parser takes."""

from urllib.parse import unquote_to_bytes

import pytest

from libs.http.targets import with_encoded_target

_REST = b" HTTP/1.1\r\nHost: x\r\nX-A: \xc3\xa9\r\n\r\n\xff"
_PATH = b"/api/v1/projects/museum/analytics"


@pytest.mark.parametrize(
    "target",
    [
        _PATH + "?category=usagé".encode(),
        _PATH + b"?from=\xff&to=%zz",
        b"/api/v1/projects/mus\xe9e/events",
    ],
)
def test_target_is_encoded_and_nothing_else_changed(target: bytes) -> None:
    encoded = with_encoded_target(b"GET " + target + _REST)

    assert encoded is not None
    assert encoded.endswith(_REST)
    line = encoded.removesuffix(_REST)
    assert line.isascii()
    assert unquote_to_bytes(line) == unquote_to_bytes(b"GET " + target)


@pytest.mark.parametrize(
    "read",
    [
        b"GET " + _PATH + _REST,
        b"GET /healthz/ready?\xff" + _REST,
        b"GET " + _PATH + b"?a=\xff",  # the end of the line is still to come
        b"GET " + _PATH + b"?a=\xff\x01" + _REST,
        b"GET " + _PATH + b"?a=" + b"\xff" * 9_000 + _REST,
        b"",
    ],
)
def test_other_lines_are_left_to_the_parser(read: bytes) -> None:
    assert with_encoded_target(read) is None
