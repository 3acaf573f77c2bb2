"""The engine, on worker threads: one handle a statement, so that nothing is left to the next.

A handle costs half a millisecond. It is opened, used and closed by worker threads only: a
destructor of the engine that ran on the event loop was seen to hang the whole process.
"""

import asyncio
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from xml.sax.saxutils import escape

import chdb

from deploy.local.gateway.errors import (
    QUERY_WITH_SAME_ID,
    TOO_MANY_QUERIES,
    ServerError,
    error_of_engine,
)
from deploy.local.gateway.statements import (
    Insert,
    Parameters,
    check_single,
    is_kill,
    target_of_insert,
)

_THREADS = 24
_WAITING = 200
_KILL_INTERVAL_S = 0.2
_PIECE_BYTES = 1 << 20
# Where BACKUP DATABASE … TO Disk('backups', 'name') writes, as on a server with this configuration.
_BACKUPS = """\
<clickhouse>
    <storage_configuration>
        <disks><backups><type>local</type><path>{path}/</path></backups></disks>
    </storage_configuration>
    <backups><allowed_disk>backups</allowed_disk></backups>
</clickhouse>
"""

T = TypeVar("T")


class Engine:
    """Runs statements on the data directory. Raises ServerError for whatever goes wrong in one."""

    def __init__(self, data_dir: Path) -> None:
        self._path = str(data_dir)
        self._uploads = data_dir.with_name(f"{data_dir.name}-uploads")
        self._backups = data_dir.with_name(f"{data_dir.name}-backups")
        self._configuration = data_dir.with_name(f"{data_dir.name}-server.xml")
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="engine")
        self._running = asyncio.Semaphore(_THREADS - 2)  # two are left for KILL and /ping
        self._waiting = 0
        self._query_ids: set[str] = set()
        self._root: Any = None

    async def start(self) -> None:
        """Open the data directory and keep it open."""
        shutil.rmtree(self._uploads, ignore_errors=True)  # of a process that was killed
        self._uploads.mkdir(mode=0o700)
        self._backups.mkdir(mode=0o700, exist_ok=True)
        text = _BACKUPS.format(path=escape(str(self._backups)))
        self._configuration.write_text(text, "utf-8")
        # The first handle starts the engine; those after it take what it was started with.
        where = f"{self._path}?config-file={self._configuration}"
        self._root = await self._call(chdb.connect, where)

    async def stop(self) -> None:
        """Wait for running statements, then close."""
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._root.close)

    async def ping(self) -> None:
        """Prove that the engine answers."""
        await self._call(self._ask, "SELECT 1", "TabSeparated", {})

    async def classify(self, sql: bytes) -> str:
        """What a statement does, by the engine's own parser: read, insert, kill or change.

        What the parser does not understand is a read: it fails when it is read.
        """
        verdict = await self._call(self._root._conn.classify_query, sql)  # noqa: SLF001
        check_single(verdict["statement_count"])
        name = verdict["query_class"].name
        if name in {"READ_ONLY", "UNKNOWN"}:
            return "read"
        if name == "MUTATING" and target_of_insert(sql) is not None:
            return "insert"
        return "kill" if name == "CONTROL" and is_kill(sql) else "change"

    async def query(self, sql: bytes, fmt: str, asked: Parameters, *, readonly: int) -> bytes:
        """The answer of a statement, whole; killed when the caller is cancelled.

        `readonly` is the engine's own setting: 0, 1, or 2 (settings may be changed).
        """
        with self._named(asked.query_id):
            async with self._place():
                return await self._killable(sql, fmt, asked, readonly)

    async def _killable(self, sql: bytes, fmt: str, asked: Parameters, readonly: int) -> bytes:
        work = self._submit(self._query, sql, fmt, asked, readonly)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            while not work.done():  # a statement that has not quite begun is not found yet
                await self._kill(asked.log_comment)
                await asyncio.wait({work}, timeout=_KILL_INTERVAL_S)
            work.exception()
            raise

    @contextmanager
    def _named(self, query_id: str) -> Iterator[None]:
        # A statement is killed by its id: nobody may give his own the id of another's.
        if query_id in self._query_ids:
            raise ServerError(QUERY_WITH_SAME_ID, f"Query with id = {query_id} is already running")
        self._query_ids.add(query_id)
        try:
            yield
        finally:
            self._query_ids.discard(query_id)

    async def insert(self, statement: Insert, data: AsyncIterator[bytes], asked: Parameters) -> int:
        """Insert uploaded data and return the number of rows; a cut upload commits nothing.

        The upload goes through a file: the engine's own streaming insert (`send_insert`) says
        "done" to what a constraint refused.
        """
        file = await self._call(self._new_upload)
        try:
            async for piece in _large(data):
                await self._call(file.write, piece)
            await self._call(file.flush)
            with self._named(asked.query_id):
                async with self._place():
                    return await self._finished(statement, file.name, asked)
        finally:
            await asyncio.shield(self._submit(file.close))

    async def _finished(self, statement: Insert, upload: str, asked: Parameters) -> int:
        # From here on it is done, whether the client still waits or not.
        work = self._submit(self._insert, statement, upload, asked)
        try:
            return await asyncio.shield(work)
        finally:
            await asyncio.wait({work})

    def _place(self) -> "_Place":
        return _Place(self)

    async def _kill(self, log_comment: str) -> None:
        sql = f"KILL QUERY WHERE Settings['log_comment'] = {_quoted(log_comment)} ASYNC"
        await asyncio.shield(self._submit(self._ask, sql, "Null", {}))

    def _submit(self, work: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # noqa: ANN401
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, functools.partial(_translated, work, *args))

    async def _call(self, work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
        return await self._submit(work, *args)

    def _ask(self, sql: str, fmt: str, values: dict[str, str]) -> bytes:
        handle = chdb.connect(self._path)
        try:
            return _bytes(handle.query(sql, fmt, params=values or None))
        finally:
            handle.close()

    def _open(self, asked: Parameters, readonly: int) -> Any:  # noqa: ANN401
        handle = chdb.connect(self._path)
        try:
            if asked.database:
                handle.query(f"USE {_name(asked.database)}")
            settings = {
                **asked.settings,
                "implicit_select": "0",
                "max_memory_usage": str(asked.max_memory_bytes),
                "max_result_bytes": str(asked.max_result_bytes),
                "log_comment": asked.log_comment,
            }
            if readonly:
                settings["readonly"] = str(readonly)
            pairs = ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items())
            handle.query(f"SET {pairs}")
        except Exception:
            handle.close()
            raise
        return handle

    def _new_upload(self) -> "tempfile._TemporaryFileWrapper[bytes]":
        return tempfile.NamedTemporaryFile(dir=self._uploads)

    def _insert(self, statement: Insert, upload: str, asked: Parameters) -> int:
        handle = self._open(asked, 0)
        try:
            source = f"FROM INFILE {_quoted(upload)} {statement.settings}"
            sql = f"{statement.sql} {source} FORMAT {statement.format}"
            return int(handle.query(sql).rows_read())
        finally:
            handle.close()

    def _query(self, sql: bytes, fmt: str, asked: Parameters, readonly: int) -> bytes:
        handle = self._open(asked, readonly)
        try:
            return _bytes(handle.query(sql, fmt, params=dict(asked.values) or None))
        finally:
            handle.close()


class _Place:
    """A place among the running statements; too many that wait are turned away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __aenter__(self) -> None:
        engine = self._engine
        if engine._waiting >= _WAITING:  # noqa: SLF001 - one class in two halves
            raise ServerError(TOO_MANY_QUERIES, "Too many simultaneous queries")
        engine._waiting += 1  # noqa: SLF001
        try:
            await engine._running.acquire()  # noqa: SLF001
        finally:
            engine._waiting -= 1  # noqa: SLF001

    async def __aexit__(self, *_: object) -> None:
        self._engine._running.release()  # noqa: SLF001


async def _large(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in few pieces: each of them goes to another thread."""
    piece = bytearray()
    async for chunk in data:
        piece += chunk
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _translated(work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
    try:
        return work(*args)
    except RuntimeError as error:  # chDB raises it, or a subclass, for all that the engine says
        raise error_of_engine(error) from None


def _bytes(result: Any) -> bytes:  # noqa: ANN401
    return result.encode() if isinstance(result, str) else bytes(result.bytes())


def _name(value: str) -> str:
    return "`" + value.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
