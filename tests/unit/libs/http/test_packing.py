"""What a caller is given, by what it offers to unpack."""

import gzip

import pytest

from libs.http.packing import best_coding, pack


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ([], None),
        ([""], None),
        (["identity"], None),
        (["gzip"], "gzip"),
        (["x-gzip"], "gzip"),
        (["GZIP"], "gzip"),
        (["deflate, gzip;q=1.0, *;q=0.5"], "gzip"),
        (["gzip, deflate, br, zstd"], "zstd"),
        (["gzip", "zstd"], "zstd"),
        (["zstd;q=0.1, gzip;q=0.9"], "gzip"),
        (["zstd;q=0, gzip; q=0.001"], "gzip"),
        (["*"], "zstd"),
        (["*, zstd;q=0"], "gzip"),
        (["gzip;q=0"], None),
        (["gzip;q=2"], None),
        (["gzip;level=9"], None),
        (["br;q=1.0"], None),
    ],
)
def test_best_coding_is_the_one_that_the_caller_likes_best(
    accepted: list[str], coding: str | None
) -> None:
    assert best_coding(accepted) == coding


@pytest.mark.parametrize(("size", "is_packed"), [(1024, False), (1025, True), (200_000, True)])
async def test_body_is_packed_when_it_is_larger_than_a_packet(size: int, is_packed: bool) -> None:
    body, headers = await pack(b"x" * size, ["gzip"])

    assert ("Content-Encoding" in headers) == is_packed
    assert (gzip.decompress(body) if is_packed else body) == b"x" * size
