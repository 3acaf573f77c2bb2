"""What a head must be beside what the parser asks for."""

import pytest

from libs.http.heads import validate_head

_HOST = (b"host", b"analytics.example:8080")
_CHUNKED = (b"transfer-encoding", b"Chunked")


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.1", [_HOST]),
        ("1.1", [_HOST, _CHUNKED]),
        ("1.1", [(b"host", b"[::1]:8080"), (b"accept", b"*/*")]),
        ("1.1", [(b"host", b"")]),
        ("1.0", []),
        ("1.0", [_HOST]),
    ],
)
def test_head_has_no_fault_when_it_is_clear(
    version: str, headers: list[tuple[bytes, bytes]]
) -> None:
    assert validate_head(version, headers) is None


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("0.9", []),
        ("2.0", [_HOST]),
        ("1.1", []),
        ("1.1", [_HOST, _HOST]),
        ("1.0", [_HOST, _HOST]),
        ("1.1", [(b"host", b"a b")]),
        ("1.1", [(b"host", b"a/b")]),
        ("1.0", [(b"host", b"user@a")]),
        ("1.1", [(b"host", b"\xff")]),
        ("1.1", [_HOST, (b"transfer-encoding", b"gzip, chunked")]),
        ("1.1", [_HOST, (b"transfer-encoding", b"identity"), _CHUNKED]),
    ],
)
def test_head_is_faulty_when_a_proxy_could_read_it_otherwise(
    version: str, headers: list[tuple[bytes, bytes]]
) -> None:
    fault = validate_head(version, headers)

    assert fault is not None
    assert (fault.status, fault.code) == (400, "invalid_http")
