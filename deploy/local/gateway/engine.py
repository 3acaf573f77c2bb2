"""The engine on worker threads: who runs, who waits, who is turned away, and how a statement ends.

As on a server, a statement beyond `max_concurrent_queries` is refused at once. Those within it
share fewer threads, for a piece of their work at a time: a client that reads slowly holds none.
"""

import asyncio
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from xml.sax.saxutils import escape

import chdb

from deploy.local.gateway.errors import (
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    ServerError,
    error_of_engine,
)
from deploy.local.gateway.handles import Answer, Handle, Order, ask
from deploy.local.gateway.settings import Settings
from deploy.local.gateway.statements import (
    Insert,
    check_single,
    is_kill,
    quoted,
    target_of_insert,
)

_THREADS = 24
_KILL_INTERVAL_S = 0.2
_PIECE_BYTES = 1 << 20
# Where BACKUP DATABASE … TO Disk('backups', 'name') writes, as on a server with this configuration.
_BACKUPS = """\
<clickhouse>
    <users_config>{users}</users_config>
    <storage_configuration>
        <disks><backups><type>local</type><path>{path}/</path></backups></disks>
    </storage_configuration>
    <backups><allowed_disk>backups</allowed_disk></backups>
</clickhouse>
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer in pieces: the first of them, and what gives the others."""

    first: Answer
    rest: AsyncIterator[bytes]


class Engine:
    """Runs statements on the data directory. Raises ServerError for whatever goes wrong in one."""

    def __init__(self, settings: Settings, users_configuration: str) -> None:
        data_dir = settings.data_dir
        self.uploads = data_dir.with_name(f"{data_dir.name}-uploads")
        self.system_tables: frozenset[str] = frozenset()
        self._settings = settings
        self._path = str(data_dir)
        self._backups = data_dir.with_name(f"{data_dir.name}-backups")
        self._configuration = data_dir.with_name(f"{data_dir.name}-server.xml")
        self._users = data_dir.with_name(f"{data_dir.name}-users.xml")
        self._users_configuration = users_configuration
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="engine")
        self._free = asyncio.Semaphore(_THREADS - 2)  # two are left for KILL and /ping
        self._running: set[str] = set()
        self._root: Any = None

    async def start(self) -> None:
        """Open the data directory and keep it open."""
        shutil.rmtree(self.uploads, ignore_errors=True)  # of a process that was killed
        self.uploads.mkdir(mode=0o700)
        self._backups.mkdir(mode=0o700, exist_ok=True)
        self._users.write_text(self._users_configuration, "utf-8")
        text = _BACKUPS.format(path=escape(str(self._backups)), users=escape(str(self._users)))
        self._configuration.write_text(text, "utf-8")
        # The first handle starts the engine; those after it take what it was started with.
        where = f"{self._path}?config-file={self._configuration}"
        self._root = await self._submit(chdb.connect, where)
        names = await self._ask("SELECT name FROM system.tables WHERE database = 'system'")
        self.system_tables = frozenset(names.decode().split())

    async def stop(self) -> None:
        """Wait for running statements, then close."""
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._root.close)

    async def ping(self) -> None:
        """Prove that the engine answers."""
        await self._ask("SELECT 1")

    async def classify(self, sql: bytes) -> str:
        """What a statement does, by the engine's own parser: read, insert, kill or change.

        What the parser does not understand is a read: it fails when it is read.
        """
        verdict = await self._submit(self._root._conn.classify_query, sql)  # noqa: SLF001
        check_single(verdict["statement_count"])
        name = verdict["query_class"].name
        if name in {"READ_ONLY", "UNKNOWN"}:
            return "read"
        if name == "MUTATING" and target_of_insert(sql) is not None:
            return "insert"
        return "kill" if name == "CONTROL" and is_kill(sql) else "change"

    async def syntax_tree(self, sql: bytes, values: dict[str, str]) -> str:
        """What EXPLAIN AST says of a statement; nothing of one that is wrong."""
        text = "EXPLAIN AST " + sql.decode("utf-8", "surrogateescape")
        try:
            tree = await self._submit(ask, self._path, text, "TSVRaw", values)
        except ServerError:
            return ""
        return tree.decode(errors="replace")

    @contextmanager
    def admitted(self, query_id: str, *, is_limited: bool = True) -> Iterator[None]:
        """A place among the running statements, under an id that no other one has.

        Raises ServerError: 202 when there are too many, 216 when one has this id.
        """
        most = self._settings.max_concurrent_queries
        if is_limited and most and len(self._running) >= most:
            raise ServerError(
                TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries. Maximum: {most}"
            )
        # A statement is killed by its id: nobody may give his own the id of another's.
        if query_id in self._running:
            raise ServerError(
                QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                f"Query with id = {query_id} is already running.",
            )
        self._running.add(query_id)
        try:
            yield
        finally:
            self._running.discard(query_id)

    async def open(self, order: Order) -> Handle:
        """A handle for one statement, or for the first of a session."""
        async with self._free:
            opening = self._submit(_opened, self._path, order)
            try:
                return await asyncio.shield(opening)
            except asyncio.CancelledError:
                # Nobody may be left with it but a worker thread: see handles.py.
                await asyncio.wait({opening})
                if opening.exception() is None:
                    await self.close(opening.result())
                raise

    async def prepare(self, handle: Handle, order: Order) -> None:
        """Order the next statement of a session's handle."""
        await self._work(handle.prepare, order)

    async def query(self, handle: Handle, sql: bytes, fmt: str, order: Order) -> Answer:
        """The whole answer of a statement; the statement is killed when the caller is cancelled."""
        values = order.asked.values
        return await self._killable(order, handle.query, sql, fmt, values)

    async def stream(self, handle: Handle, sql: bytes, fmt: str, order: Order) -> Stream | None:
        """The answer in pieces, or None where the engine gives only whole ones."""
        first = await self._killable(order, handle.begin, sql, fmt, order.asked.values)
        return None if first is None else Stream(first, self._pieces(handle, first, order))

    async def _pieces(self, handle: Handle, first: Answer, order: Order) -> AsyncIterator[bytes]:
        answer = first
        while answer.body:
            yield answer.body
            answer = await self._killable(order, handle.more)

    async def insert(self, handle: Handle, statement: Insert, upload: str) -> Answer:
        """Insert uploaded data. From here on it is done, whether the client still waits or not."""
        work = asyncio.ensure_future(self._work(handle.insert, statement, upload))
        try:
            return await asyncio.shield(work)
        finally:
            await asyncio.wait({work})

    @contextmanager
    def upload(self) -> "Iterator[tempfile._TemporaryFileWrapper[bytes]]":
        """A file for the data of an insert: a cut upload commits nothing.

        The engine's own streaming insert (`send_insert`) says "done" to what a constraint refused.
        """
        with tempfile.NamedTemporaryFile(dir=self.uploads) as file:
            yield file

    async def write(self, file: Any, data: AsyncIterator[bytes]) -> None:  # noqa: ANN401
        """Write data into such a file, in few pieces: each of them goes to another thread."""
        async for piece in _large(data):
            await self._submit(file.write, piece)
        await self._submit(file.flush)

    async def close(self, handle: Handle) -> None:
        """Give a handle back, even where the caller is cancelled meanwhile."""
        await asyncio.shield(self._submit(handle.close))

    async def reset(self, handle: Handle, order: Order) -> None:
        """Make a session's handle ready for its next statement."""
        await asyncio.shield(self._work(handle.reset, order))

    async def _killable(self, order: Order, work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
        async with self._free:
            running = self._submit(work, *args)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                while not running.done():  # one that has not quite begun is not found yet
                    with suppress(ServerError):
                        await asyncio.shield(self._kill(order.asked.tag))
                    await asyncio.wait({running}, timeout=_KILL_INTERVAL_S)
                running.exception()
                raise

    async def _kill(self, tag: str) -> None:
        await self._ask(f"KILL QUERY WHERE Settings['query_cache_tag'] = {quoted(tag)} ASYNC")

    async def _ask(self, sql: str) -> bytes:
        return await self._submit(ask, self._path, sql)

    async def _work(self, work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
        async with self._free:
            return await self._submit(work, *args)

    def _submit(self, work: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # noqa: ANN401
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, functools.partial(_translated, work, *args))


async def _large(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    piece = bytearray()
    async for chunk in data:
        piece += chunk
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _opened(path: str, order: Order) -> Handle:
    handle = Handle(path)
    try:
        handle.prepare(order)
    except BaseException:
        handle.close()
        raise
    return handle


def _translated(work: Callable[..., T], *args: Any) -> T:  # noqa: ANN401
    try:
        return work(*args)
    except RuntimeError as error:
        raise error_of_engine(error) from None
