"""What stands in the URL or the form beside the SQL. Pure.

Most fields are settings. Some speak to the server: they are those that `src/Server/HTTPHandler.cpp`
keeps from the settings, or reads before them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.gateway.errors import (
    BAD_ARGUMENTS,
    INVALID_SESSION_TIMEOUT,
    NOT_IMPLEMENTED,
    SETTING_CONSTRAINT_VIOLATION,
    UNKNOWN_ROLE,
    UNKNOWN_SETTING,
    ServerError,
)
from deploy.local.gateway.fields import Pairs

_TO_THE_SERVER = frozenset(
    {
        "",
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_wait_end_of_query",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    }
)
_VALUE = "param_"
# Of these the first counts where there are several, of settings the last.
_FIRST = re.compile(rf"{_VALUE}|(?:{'|'.join(sorted(_TO_THE_SERVER - {''}))})\Z")
# Set here for each statement: what it is parsed as, and whose it is.
_FIXED = frozenset({"dialect", "implicit_select", "profile", "query_cache_tag"})
# What any statement may take and find; a client may ask for less. Repeated values are small in a
# result and large in an answer: that has a bound beside memory.
_MAX_MEMORY_BYTES = 2 << 30
_MAX_RESULT_BYTES = 1 << 29
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Of an external table, in a request with a form: no settings, whatever they are called.
_OF_TABLES = ("_format", "_types", "_structure")
_SESSION_S, _LONGEST_SESSION_S = 60, 3600


@dataclass(frozen=True, slots=True)
class Session:
    """A session that a request belongs to: `must_exist` where it may not begin it."""

    name: str
    timeout_s: int
    must_exist: bool
    closes: bool


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request says beside its SQL."""

    sql: bytes
    database: str
    query_id: str
    user: str
    password: str
    settings: Mapping[str, str]
    values: Mapping[str, str]
    fields: Mapping[str, str]
    session: Session | None

    @property
    def waits(self) -> bool:
        """Whether the answer is held back until the statement has ended, well or not."""
        return self._is_set("wait_end_of_query") or self._is_set("http_wait_end_of_query")

    @property
    def compresses(self) -> bool:
        """Whether the answer may be compressed, which the server's default is."""
        return self.fields.get("enable_http_compression", "1") != "0"

    @property
    def default_format(self) -> str:
        """The format of an answer to a statement without a FORMAT clause."""
        return self.fields.get("default_format") or "TabSeparated"

    @property
    def tag(self) -> str:
        """What the engine knows the statement by: it has neither users nor query ids."""
        return f"user={self.user}/query_id={self.query_id}"

    @property
    def max_memory_bytes(self) -> int:
        """What the statement may take: what the client says, and never more than the bound."""
        return self._least("max_memory_usage", _MAX_MEMORY_BYTES)

    @property
    def max_result_bytes(self) -> int:
        """What the statement may find, likewise."""
        return self._least("max_result_bytes", _MAX_RESULT_BYTES)

    def _is_set(self, name: str) -> bool:
        return self.fields.get(name, "0") not in {"0", "false"}

    def _least(self, name: str, most: int) -> int:
        text = self.settings.get(name, "0")
        asked = int(text) if text.isascii() and text.isdecimal() else 0  # 0 has no limit
        return min(asked or most, most)


def merged(pairs: Pairs) -> Mapping[str, str]:
    """One value for each name. In a form the SQL may come in several pieces."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name not in fields or not _FIRST.match(name):
            fields[name] = value
    return fields


def parameters(fields: Mapping[str, str], *, has_form: bool = False) -> Parameters:
    """The parameters of a request. Raises ServerError when one cannot be served."""
    _check_servable(fields)
    settings = {
        name: value
        for name, value in fields.items()
        if name not in _TO_THE_SERVER
        and not name.startswith(_VALUE)
        and not (has_form and name.endswith(_OF_TABLES))
    }
    for name in settings:
        _check_setting(name)
    return Parameters(
        sql=fields.get("query", "").encode("utf-8", "surrogateescape"),
        database=fields.get("database", ""),
        query_id=fields.get("query_id", ""),
        user=fields.get("user", ""),
        password=fields.get("password", ""),
        settings=settings,
        values={name[6:]: text for name, text in fields.items() if name.startswith(_VALUE)},
        fields=fields,
        session=_session(fields),
    )


def _check_servable(fields: Mapping[str, str]) -> None:
    if fields.get("compress", "0") != "0" or fields.get("decompress", "0") != "0":
        raise ServerError(NOT_IMPLEMENTED, "compress=1 is not served; use Content-Encoding")
    if _CONTROL.search(fields.get("query_id", "")):
        raise ServerError(BAD_ARGUMENTS, "A query_id must not hold control characters")
    if fields.get("role"):
        raise ServerError(UNKNOWN_ROLE, "There is no such role in `user directories`")


def _check_setting(name: str) -> None:
    if not _SETTING.match(name):
        raise ServerError(UNKNOWN_SETTING, "Unknown setting")
    if name in _FIXED:
        raise ServerError(SETTING_CONSTRAINT_VIOLATION, f"Setting {name} should not be changed")


def _session(fields: Mapping[str, str]) -> Session | None:
    if "session_id" not in fields:
        return None
    timeout = fields.get("session_timeout", str(_SESSION_S))
    if not (timeout.isascii() and timeout.isdecimal()) or int(timeout) > _LONGEST_SESSION_S:
        raise ServerError(INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{timeout}'")
    return Session(
        name=fields["session_id"],
        timeout_s=int(timeout),
        must_exist=fields.get("session_check") == "1",
        closes=fields.get("close_session", "0") != "0",
    )
