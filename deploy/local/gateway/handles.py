"""What is done with the engine's handles: blocking, on worker threads only.

A handle is one session of the engine. It costs half a millisecond, and is opened, used and closed
by worker threads: a destructor of the engine that ran on the event loop was seen to hang the whole
process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import chdb

from deploy.local.gateway.errors import ServerError, error_of_engine
from deploy.local.gateway.forms import ExternalTable
from deploy.local.gateway.parameters import Parameters
from deploy.local.gateway.statements import FILES, Insert, quoted

_connect: Callable[[str], Any] = chdb.connect
# What the engine says where it cannot give an answer in pieces.
_NOT_IN_PIECES = "Streaming query is not supported"
_FAILED_STREAM = "Streaming query failed: "


@dataclass(frozen=True, slots=True)
class Order:
    """What a statement is run with: in which role, with which tables, and what of its settings.

    `readonly` is the engine's own setting: 0, 1, or 2 (settings may be changed).
    """

    asked: Parameters
    role: str
    readonly: int = 0
    settings: Mapping[str, str] | None = None
    tables: tuple[ExternalTable, ...] = ()

    def all_settings(self) -> dict[str, str]:
        """What the client sets, what its profile says, and what is always so here."""
        asked = self.asked
        own = {
            "implicit_select": "0",
            "max_memory_usage": str(asked.max_memory_bytes),
            "max_result_bytes": str(asked.max_result_bytes),
            "query_cache_tag": asked.tag,
        }
        return {**(self.settings or {}), **asked.settings, **own}


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer of a statement, and what was counted on the way."""

    body: bytes
    counts: Mapping[str, int]


def ask(
    path: str, sql: str, fmt: str = "TabSeparated", values: Mapping[str, str] | None = None
) -> bytes:
    """The answer to a statement of the gateway's own."""
    handle = _connect(path)
    try:
        return _bytes(handle.query(sql, fmt, params=dict(values) if values else None))
    except RuntimeError as error:
        raise error_of_engine(error) from None
    finally:
        handle.close()


class Handle:
    """A handle of the engine with one statement at a time. Raises ServerError for what it says."""

    def __init__(self, path: str) -> None:
        self._handle = _connect(path)
        self._stream: Any = None

    def prepare(self, order: Order) -> None:
        """Let the next statement run as ordered."""
        if order.asked.database:
            self._do(f"USE {_name(order.asked.database)}")
        pairs = (f"{name} = {quoted(value)}" for name, value in order.all_settings().items())
        self._do(f"SET {', '.join(pairs)}")
        for table in order.tables:
            self._take(table, order.asked.fields)
        if order.readonly:  # it cannot be taken back, and would refuse the tables
            self._do(f"SET readonly = {order.readonly}")
        self._do(f"SET ROLE {order.role}")

    def _take(self, table: ExternalTable, fields: Mapping[str, str]) -> None:
        name = _name(table.name)
        self._do(f"CREATE TEMPORARY TABLE {name} ({table.columns(fields)}) ENGINE = Memory")
        source = f"FROM INFILE {quoted(str(table.data))} FORMAT {table.format(fields)}"
        self._do(f"INSERT INTO {name} {source}")

    def insert(self, statement: Insert, upload: str) -> Answer:
        """Insert the data of a file."""
        source = f"FROM INFILE {quoted(upload)} {statement.settings}"
        result = self._do(f"{statement.sql} {source} FORMAT {statement.format}")
        rows = int(result.rows_read())
        return Answer(b"", _counts(result) | {"written_rows": rows})

    def query(self, sql: bytes, fmt: str, values: Mapping[str, str]) -> Answer:
        """The whole answer of a statement."""
        result = self._do(sql, fmt, values)
        return Answer(_bytes(result), _counts(result))

    def begin(self, sql: bytes, fmt: str, values: Mapping[str, str]) -> Answer | None:
        """The first piece of an answer; None where the engine gives it only whole."""
        try:
            self._stream = self._handle.send_query(sql, fmt, params=dict(values) or None)
        except UnicodeDecodeError:  # of an error about bytes that are no text
            return None
        except RuntimeError as error:
            if _NOT_IN_PIECES in str(error):
                return None
            raise error_of_engine(error) from None
        return self.more()

    def more(self) -> Answer:
        """The next piece; an empty one is the end."""
        try:
            result = self._stream.fetch()
        except RuntimeError as error:
            raise _of_stream(error) from None
        return Answer(b"" if result is None else _bytes(result), _counts(result))

    def reset(self, order: Order) -> None:
        """Take back what one request of a session had set or brought for itself alone."""
        asked = order.asked
        for table in order.tables:
            self._do(f"DROP TEMPORARY TABLE IF EXISTS {_name(table.name)}")
        if asked.settings:
            self._do(f"SET {', '.join(f'{name} = DEFAULT' for name in asked.settings)}")
        if asked.database:
            self._do(f"USE {_name(FILES)}")

    def close(self) -> None:
        """Give it back; what still runs in it is cancelled."""
        if self._stream is not None:
            self._stream.close()
        self._handle.close()

    def _do(
        self, sql: str | bytes, fmt: str = "TabSeparated", values: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401
        try:
            return self._handle.query(sql, fmt, params=dict(values) if values else None)
        except RuntimeError as error:  # chDB raises it, or a subclass, for all that the engine says
            raise error_of_engine(error) from None


def _of_stream(error: RuntimeError) -> ServerError:
    text = str(error)
    return error_of_engine(RuntimeError(text.removeprefix(_FAILED_STREAM)))


def _counts(result: Any) -> dict[str, int]:  # noqa: ANN401
    if result is None or isinstance(result, str):
        return {}
    return {
        "read_rows": int(result.storage_rows_read()),
        "read_bytes": int(result.storage_bytes_read()),
        "written_rows": int(result.rows_written()),
        "written_bytes": int(result.bytes_written()),
        "result_rows": int(result.rows_read()),
        "result_bytes": int(result.bytes_read()),
        "elapsed_ns": int(result.elapsed() * 1e9),
    }


def _bytes(result: Any) -> bytes:  # noqa: ANN401
    return result.encode() if isinstance(result, str) else bytes(result.bytes())


def _name(value: str) -> str:
    return "`" + value.replace("\\", "\\\\").replace("`", "\\`") + "`"
