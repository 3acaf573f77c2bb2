"""Answers packed with what their caller offers, where that saves something."""

import asyncio
import gzip
import re
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# A smaller answer fits into one packet as it is.
_MIN_BYTES = 1024
# A larger one is packed beside the loop, which serves others meanwhile.
_MAX_IN_LOOP_BYTES = 64 * 1024
# One after the other: each takes megabytes beside the answer while it is at work.
_ONE = ThreadPoolExecutor(1, "packing")
_GZIP_LEVEL = 5
_PACK = {"zstd": zstd.compress, "gzip": lambda body: gzip.compress(body, _GZIP_LEVEL, mtime=0)}
_OFFER = re.compile(r"\s*([^\s;]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?\Z", re.IGNORECASE)


async def pack(body: bytes, accepted: Iterable[str]) -> tuple[bytes, Mapping[str, str]]:
    """The body as it is sent, and the headers that tell. `accepted`: values of Accept-Encoding."""
    headers = {"Vary": "Accept-Encoding"}
    coding = best_coding(accepted) if len(body) > _MIN_BYTES else None
    if coding is None:
        return body, headers
    if len(body) > _MAX_IN_LOOP_BYTES:
        packed = await asyncio.get_running_loop().run_in_executor(_ONE, _PACK[coding], body)
    else:
        packed = _PACK[coding](body)
    return packed, headers | {"Content-Encoding": coding}


def best_coding(accepted: Iterable[str]) -> str | None:
    """Which of ours a caller likes best (RFC 9110, 12.5.3); None for neither."""
    weights: dict[str, float] = {}
    for offer in ",".join(accepted).split(","):
        if match := _OFFER.match(offer):
            weights[match[1].lower().removeprefix("x-")] = float(match[2] or 1)
    others = weights.get("*", 0.0)
    liked = {coding: weights.get(coding, others) for coding in _PACK}
    best = max(liked, key=lambda coding: liked[coding])  # of two that are liked alike, the first
    return best if liked[best] > 0 else None
