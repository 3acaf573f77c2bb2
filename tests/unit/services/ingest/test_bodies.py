"""Bodies as a whole: media types, compression, limits, splitting."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from libs.http.problems import Problem
from services.ingest.bodies import (
    Compression,
    MediaType,
    Received,
    compression_of,
    decompress,
    media_type_of,
    split_events,
)
from tests.turns import finish

_LIMIT = 1024 * 1024
_escaped = st.sampled_from('\ud83d\ude00\\"\nud83dé\U0001f600')


def _problem(work: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        work()
    return caught.value.status, caught.value.code


def _decompress(packed: bytes, compression: Compression) -> bytes:
    return finish(decompress(packed, compression, _LIMIT, Received()))


def _split(body: bytes, media_type: MediaType = MediaType.JSON, most: int = 10) -> list[bytes]:
    return [bytes(event) for event in finish(split_events(body, media_type, most))]


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("application/json", MediaType.JSON),
        ("Application/JSON ; charset=utf-8", MediaType.JSON),
        ("application/x-ndjson;charset=utf-8", MediaType.NDJSON),
    ],
)
def test_media_type_is_read_when_known(header: str, media_type: MediaType) -> None:
    assert media_type_of(header) is media_type


@pytest.mark.parametrize("header", ["", "text/plain", "application/jsonx", "multipart/form-data"])
def test_media_type_is_refused_when_unknown(header: str) -> None:
    assert _problem(lambda: media_type_of(header)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("header", "compression"),
    [("", Compression.NONE), ("GZip", Compression.GZIP), (" zstd ", Compression.ZSTD)],
)
def test_compression_is_read_when_known(header: str, compression: Compression) -> None:
    assert compression_of(header) is compression


@pytest.mark.parametrize("header", ["br", "deflate", "gzip, zstd"])
def test_compression_is_refused_when_unknown(header: str) -> None:
    assert _problem(lambda: compression_of(header)) == (415, "unsupported_content_encoding")


@given(st.lists(st.binary(max_size=2_000), min_size=1, max_size=3))
def test_body_is_whole_when_it_comes_in_several_gzip_members(parts: list[bytes]) -> None:
    packed = b"".join(gzip.compress(part) for part in parts)

    assert _decompress(packed, Compression.GZIP) == b"".join(parts)


@given(st.lists(st.binary(max_size=2_000), min_size=1, max_size=3))
def test_body_is_whole_when_it_comes_in_several_zstd_frames(parts: list[bytes]) -> None:
    packed = b"".join(zstd.compress(part) for part in parts)

    assert _decompress(packed, Compression.ZSTD) == b"".join(parts)


@pytest.mark.parametrize(
    ("compression", "pack"),
    [(Compression.GZIP, gzip.compress), (Compression.ZSTD, zstd.compress)],
)
def test_body_is_refused_when_it_is_cut_anywhere(
    compression: Compression, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(b'{"a":1}\n' * 50)

    for length in range(1, len(packed)):
        cut = partial(_decompress, packed[:length], compression)
        assert _problem(cut) == (400, "broken_compression")


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.ZSTD])
@given(packed=st.binary(min_size=1, max_size=200))
def test_bytes_become_a_body_or_a_problem_whatever_they_are(
    compression: Compression, packed: bytes
) -> None:
    with suppress(Problem):
        _decompress(packed, compression)


@pytest.mark.parametrize(
    ("compression", "bomb"),
    [
        (Compression.GZIP, zlib.compress(bytes(100 * _LIMIT), wbits=31)),
        (Compression.ZSTD, zstd.compress(bytes(100 * _LIMIT))),
    ],
    ids=["gzip", "zstd"],
)
def test_bomb_is_refused_in_little_memory(compression: Compression, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        assert _problem(lambda: _decompress(bomb, compression)) == (
            413,
            "body_too_large",
        )
        assert tracemalloc.get_traced_memory()[1] < 4 * _LIMIT
    finally:
        tracemalloc.stop()


def test_zstd_is_refused_when_its_window_would_cost_too_much_memory() -> None:
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    packed = zstd.ZstdCompressor(options=options).compress(
        bytes(64 * _LIMIT), mode=zstd.ZstdCompressor.FLUSH_FRAME
    )

    assert _problem(lambda: _decompress(packed, Compression.ZSTD))[0] == 400


def test_body_at_the_limit_is_taken() -> None:
    assert len(_decompress(gzip.compress(bytes(_LIMIT)), Compression.GZIP)) == _LIMIT


def test_body_is_refused_when_it_consists_of_countless_members() -> None:
    packed = gzip.compress(b"") * 200

    assert _problem(lambda: _decompress(packed, Compression.GZIP))[0] == 400


def test_events_are_split_when_the_body_is_an_array() -> None:
    assert _split(b' [{"a":1}, 2 ,"x"] ') == [b'{"a":1}', b"2", b'"x"']


@pytest.mark.parametrize(
    ("body", "elements"),
    [
        (rb'[1, "\ud83d"]', [b"1", b'"\xff"']),
        (
            rb'["\ud83d\ud83d\ude00", "\ude00\""]',
            [b'"\xff"', b'"\xff"'],
        ),
        (rb'["\\ud83d", "\\\uD83d"]', [rb'"\\ud83d"', rb'"\\%b"' % b"\xff"]),
    ],
)
def test_events_are_split_when_one_holds_half_a_surrogate_pair(
    body: bytes, elements: list[bytes]
) -> None:
    assert [bytes(event) for event in finish(split_events(body, MediaType.JSON, 10))] == elements


@given(st.lists(st.lists(st.text(_escaped, max_size=6), max_size=4), min_size=1, max_size=10))
def test_events_without_halves_stay_what_they_are_whatever_the_others_hold(
    events: list[list[str]],
) -> None:
    # Two halves side by side are one character to who reads them.
    whole = json.loads(json.dumps(events))

    for event, raw in zip(whole, _split(json.dumps(events).encode()), strict=True):
        if any("\ud800" <= character <= "\udfff" for text in event for character in text):
            with pytest.raises(UnicodeDecodeError):
                raw.decode()
        else:
            assert json.loads(raw) == event


def test_event_is_one_when_the_body_is_an_object() -> None:
    assert _split(b'\n{"a":[1]}\n') == [b'{"a":[1]}']


def test_events_are_split_by_line_without_blank_lines_when_the_body_is_ndjson() -> None:
    body = b'{"a":1}\r\n\n  \n{"b":\nx'

    assert [line.strip() for line in _split(body, MediaType.NDJSON)] == [
        b'{"a":1}',
        b'{"b":',
        b"x",
    ]


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b" [ ] "])
def test_body_is_refused_when_it_brings_nothing(body: bytes) -> None:
    assert _problem(lambda: _split(body)) == (400, "empty_body")


@pytest.mark.parametrize("body", [b"", b"\n\n \n"])
def test_ndjson_is_refused_when_it_brings_nothing(body: bytes) -> None:
    assert _problem(lambda: _split(body, MediaType.NDJSON)) == (400, "empty_body")


@pytest.mark.parametrize("body", [b"{", b"[{},]", b"[{}", b"tru", b"{}}", b"[" * 100_000, b"\xff"])
def test_body_is_refused_as_a_whole_when_it_is_no_json(body: bytes) -> None:
    assert _problem(lambda: _split(body)) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b"[" + b"{}," * 10 + b"{}]", MediaType.JSON), (b"{}\n" * 11, MediaType.NDJSON)],
)
def test_body_is_refused_when_it_brings_too_many_events(body: bytes, media_type: MediaType) -> None:
    assert _problem(lambda: _split(body, media_type)) == (413, "too_many_events")


@given(st.binary(), st.sampled_from(MediaType))
def test_bytes_become_events_or_a_problem_whatever_they_are(
    body: bytes, media_type: MediaType
) -> None:
    with suppress(Problem):
        assert 1 <= len(_split(body, media_type)) <= 10


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"0," * 1_000_000 + b"0]",
        b"[" + b"[]," * 1_000_000 + b"[]]",
        b"[" + b"{}," * 1_000_000 + b"{}]",
        b"1\n" * 1_000_000,
    ],
    ids=["numbers", "arrays", "objects", "lines"],
)
def test_body_is_refused_in_little_memory_when_it_brings_countless_events(body: bytes) -> None:
    media_type = MediaType.JSON if body.startswith(b"[") else MediaType.NDJSON
    peaks = []
    for _ in range(3):  # what other threads take meanwhile is counted too
        tracemalloc.start()
        try:
            assert _problem(lambda: _split(body, media_type, 1_000)) == (413, "too_many_events")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert min(peaks) < 4 * _LIMIT


@pytest.mark.parametrize("number", [1_000, 1_001])
def test_events_are_counted_alike_when_the_array_is_long(number: int) -> None:
    elements = [b'{"n":%d,"x":"%b"}' % (n, b"x" * 300) for n in range(number)]
    body = b"[" + b",".join(elements) + b"]"

    if number > 1_000:
        assert _problem(lambda: _split(body, most=1_000)) == (413, "too_many_events")
    else:
        assert _split(body, most=1_000) == elements


def test_half_a_surrogate_pair_is_left_to_its_event_when_the_array_is_long() -> None:
    body = rb'["\ud83d", "%b"]' % (b"x" * 300_000)

    first, second = finish(split_events(body, MediaType.JSON, 10))

    assert (bytes(first), len(bytes(second))) == (b'"\xff"', 300_002)


@pytest.mark.parametrize("body", [b"\n" * 5 * _LIMIT, b" \r\n" * _LIMIT, b" " * 5 * _LIMIT])
def test_body_is_refused_when_it_holds_countless_blank_lines(body: bytes) -> None:
    assert _problem(lambda: _split(body, MediaType.NDJSON)) == (400, "empty_body")
