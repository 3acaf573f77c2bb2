"""ClickHouse's error codes and the HTTP status that its server gives to each."""

import re

BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
UNKNOWN_SETTING = 115
READONLY = 164
TOO_MANY_QUERIES = 202
SOCKET_TIMEOUT = 209
QUERY_WITH_SAME_ID = 216
MEMORY_LIMIT_EXCEEDED = 241
CANNOT_DECOMPRESS = 432
SETTING_CONSTRAINT_VIOLATION = 452
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516

_STATUS = {
    36: 400,
    41: 400,
    43: 400,
    46: 404,
    47: 400,
    48: 501,
    53: 400,
    60: 404,
    62: 400,
    81: 404,
    115: 400,
    159: 408,
    164: 403,
    194: 401,
    497: 403,
    516: 403,
}
_CODE = re.compile(r"Code: (\d+)")


class ServerError(Exception):
    """An error as ClickHouse's server words it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


def error_of_engine(error: Exception) -> ServerError:
    """What the engine raised, with its own code and text."""
    text = str(error)
    match = _CODE.search(text)
    if match is None:
        return ServerError(1002, text)
    message = text[match.end() :].removeprefix(". DB::Exception: ").removeprefix(". ")
    return ServerError(int(match[1]), message)


def status_of(code: int) -> int:
    """The HTTP status that goes with a code; 500 where there is none of its own."""
    return _STATUS.get(code, 500)
