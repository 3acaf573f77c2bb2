"""ClickHouse's error codes, their names, and the HTTP status that its server gives to each.

The status map is that of the server's `src/Server/HTTP/exceptionCodeToHTTPStatus.cpp`: what is not
in it is a 500, `READONLY` and `TOO_MANY_SIMULTANEOUS_QUERIES` too.
"""

import re

# The engine that chDB embeds; a server says it at the end of each error.
VERSION = "26.9.2.1"

BAD_ARGUMENTS = 36
CANNOT_READ_ALL_DATA = 33
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
UNKNOWN_COMPRESSION_METHOD = 89
UNKNOWN_SETTING = 115
READONLY = 164
TOO_MANY_SIMULTANEOUS_QUERIES = 202
SOCKET_TIMEOUT = 209
QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING = 216
MEMORY_LIMIT_EXCEEDED = 241
CANNOT_DECOMPRESS = 271
LIMIT_EXCEEDED = 290
ZLIB_INFLATE_FAILED = 354
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
HTTP_LENGTH_REQUIRED = 381
SETTING_CONSTRAINT_VIOLATION = 452
ACCESS_DENIED = 497
UNKNOWN_ROLE = 511
AUTHENTICATION_FAILED = 516
ZSTD_DECODER_FAILED = 561
LZ4_DECODER_FAILED = 618
POCO_EXCEPTION = 1000
UNKNOWN_EXCEPTION = 1002

_NAMES = {
    code: name
    for name, code in vars().copy().items()
    if isinstance(code, int) and not name.startswith("_")
}

_OF_STATUS = {
    400: {
        6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376,
        427, 441, 675, 676,
    },
    401: {194},
    403: {192, 193, 497, 512, 516},
    404: {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511},
    408: {159},
    411: {381},
    413: {229},
    415: {779},
    501: {48},
    503: {76, 209, 439},
}  # fmt: skip
_STATUS = {code: status for status, codes in _OF_STATUS.items() for code in codes}
_CODE = re.compile(r"Code: (\d+)")
_VERSION = re.compile(r" \(version [^()]*(?:\([^()]*\))?\)")


class ServerError(Exception):
    """An error as ClickHouse's server words it."""

    def __init__(self, code: int, message: str) -> None:
        name = f" ({_NAMES[code]})" if code in _NAMES and f"({_NAMES[code]})" not in message else ""
        super().__init__(f"Code: {code}. DB::Exception: {message}{name} (version {VERSION})")
        self.code = code


def naming(error: ServerError, user: str) -> ServerError:
    """The same of whom it is about: the engine knows all users by one name."""
    error.args = (str(error).replace("DB::Exception: default: ", f"DB::Exception: {user}: ", 1),)
    return error


class FormError(ServerError):
    """A field, or the number of them, is beyond a limit. The server's HTTP library says so itself:
    code 1000, and 500, for what the client has done wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(POCO_EXCEPTION, message)
        self.args = (
            f"Poco::Exception. Code: {POCO_EXCEPTION}, e.code() = 0, HTML Form Exception:"
            f" {message} (version {VERSION})",
        )


def error_of_engine(error: Exception) -> ServerError:
    """What the engine raised, with its own code and text."""
    text = _VERSION.sub("", str(error))
    match = _CODE.search(text)
    if match is None:
        return ServerError(UNKNOWN_EXCEPTION, text)
    message = text[match.end() :].removeprefix(". DB::Exception: ").removeprefix(". ")
    return ServerError(int(match[1]), message)


def status_of(code: int) -> int:
    """The HTTP status that goes with a code; 500 where there is none of its own."""
    return _STATUS.get(code, 500)
