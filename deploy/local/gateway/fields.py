"""The fields of a request, in its URL and in a form, and what is too much of them. Pure.

It counts as the server does (`src/Server/HTTP/HTMLForm.cpp`): bytes as they were sent, before
anything is decoded; a name or value of the greatest size is taken, and one byte more is not.
"""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from deploy.local.gateway.errors import FormError
from deploy.local.gateway.settings import Settings

Pairs = list[tuple[str, str]]


def read_query(query: str, limits: Settings) -> Pairs:
    """The fields behind the `?` of a URL, in order. Raises FormError."""
    pairs: Pairs = []
    pieces = query.removesuffix("&").split("&") if query else []
    for piece in pieces:
        check_number(len(pairs) + 1, limits)
        name, _, value = piece.partition("=")
        check_size(name, value, limits)
        pairs.append((_plain(name), _plain(value)))
    return pairs


def check_number(fields: int, limits: Settings) -> None:
    """Refuse more fields than the limit. Raises FormError."""
    if fields > limits.http_max_fields:
        raise FormError("Too many form fields")


def check_size(name: str, value: str, limits: Settings) -> None:
    """Refuse a field that is too long. Raises FormError."""
    if _bytes(name) > limits.http_max_field_name_size:
        raise FormError("Field name too long")
    if _bytes(value) > limits.http_max_field_value_size:
        raise FormError("Field value too long")


def headers_fit(headers: Iterable[tuple[bytes, bytes]], limits: Settings) -> bool:
    """Whether the server would read these headers: else it answers 400, and no word."""
    sizes = [(len(name), len(value)) for name, value in headers]
    return (
        len(sizes) <= limits.http_max_fields
        and all(name <= limits.http_max_field_name_size for name, _ in sizes)
        and all(value <= limits.http_max_field_value_size for _, value in sizes)
        and sum(name + value for name, value in sizes) <= limits.http_max_request_header_size
    )


def _plain(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
