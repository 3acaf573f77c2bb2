"""A statement from its SQL to its answer: what it is, whether it may, how it runs."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from aiohttp import web

from deploy.local.gateway import bodies, responses, statements
from deploy.local.gateway.engine import Engine
from deploy.local.gateway.errors import (
    MEMORY_LIMIT_EXCEEDED,
    READONLY,
    SYNTAX_ERROR,
    ServerError,
    naming,
)
from deploy.local.gateway.handles import Answer, Handle, Order
from deploy.local.gateway.requests import Request
from deploy.local.gateway.roles import check_system, reads_system, role_of, system_tables
from deploy.local.gateway.sessions import Sessions
from deploy.local.gateway.settings import Settings
from deploy.local.gateway.statements import Insert
from deploy.local.gateway.users import Users

# Answers lie in memory until their readers have taken them; small ones are not counted.
_MAX_UNREAD = 1 << 30
_SMALL = 1 << 20
# The engine makes these the same in pieces as whole. A server gives every format in pieces.
_IN_PIECES = frozenset(
    {"CSV", "JSONCompactEachRow", "JSONEachRow", "JSONLines", "NDJSON", "Native", "RowBinary",
     "TSV", "TSVRaw", "TabSeparated", "TabSeparatedRaw"}
)  # fmt: skip


class Runner:
    """Runs the statements of all requests. Raises ServerError before anything is answered."""

    def __init__(self, engine: Engine, users: Users, settings: Settings) -> None:
        self.sessions = Sessions(engine.close)
        self._engine = engine
        self._users = users
        self._settings = settings
        self._unread_bytes = 0

    async def answer(self, request: web.Request, asked: Request) -> web.StreamResponse:
        """Run the statement of a request and send its answer to its end."""
        sql = asked.asked.sql
        head, is_whole = sql + b"\n" if sql else b"", False
        insert = statements.insert_with_data(head)
        if not head:
            head, is_whole = await bodies.read_head(asked.body)
            insert = statements.insert_with_data(head, is_whole=is_whole)
        try:
            if insert is not None:
                with self._engine.admitted(asked.asked.query_id):
                    return await self._insert(request, asked, *insert)
            sql = (await bodies.read_sql(head, asked.body)).strip()
            is_limited = not statements.is_unlimited(sql)
            with self._engine.admitted(asked.asked.query_id, is_limited=is_limited):
                return await self._run(request, asked, sql)
        except ServerError as error:
            raise naming(error, asked.user.name) from None

    async def _insert(
        self, request: web.Request, asked: Request, statement: Insert, first: bytes
    ) -> web.StreamResponse:
        if not asked.is_post:
            raise _only_post()
        order = self._order(asked, 0)
        with self._engine.upload() as file:
            await self._engine.write(file, _chunks(first, asked.body))
            async with self._handle(order) as handle:
                answer = await self._engine.insert(handle, statement, file.name)
        return await self._send(request, asked, answer, "")

    async def _run(self, request: web.Request, asked: Request, sql: bytes) -> web.StreamResponse:
        if not sql:
            raise ServerError(SYNTAX_ERROR, "Syntax error: Empty query")
        kind = await self._checked(asked, sql)
        readonly = 2 if kind == "read" and not asked.is_post else 0
        order = self._order(asked, readonly)
        owner = "" if asked.user.may_kill_all else asked.user.name
        text, fmt = statements.split_format(statements.rewritten(sql, owner))
        fmt = fmt or asked.asked.default_format
        async with self._handle(order) as handle:
            if kind == "read" and fmt in _IN_PIECES and not asked.asked.waits:
                stream = await self._engine.stream(handle, text, fmt, order)
                if stream is not None:
                    headers = responses.headers_of(asked.asked.query_id, fmt, stream.first.counts)
                    return await self._send_pieces(request, asked, headers, stream.rest)
            answer = await self._engine.query(handle, text, fmt, order)
        has_rows = kind in {"read", "kill"} or bool(answer.body)
        return await self._send(request, asked, answer, fmt if has_rows else "")

    async def _checked(self, asked: Request, sql: bytes) -> str:
        """What a statement does. Raises ServerError where it may not, or must not reach the engine;
        what it may do with tables, the engine says when it runs."""
        statements.check_allowed(sql)
        if not asked.user.may_everything:
            statements.check_plain_names(sql)
        kind = await self._engine.classify(sql)
        if not asked.is_post and kind != "read":
            raise _only_post()
        if asked.user.may_everything or not reads_system(sql, asked.asked.database):
            return kind
        tree = await self._engine.syntax_tree(
            statements.split_format(sql)[0], dict(asked.asked.values)
        )
        tables = system_tables(sql, asked.asked.database, tree)
        check_system(asked.user, tables, self._engine.system_tables)
        return kind

    def _order(self, asked: Request, readonly: int) -> Order:
        profile = dict(asked.user.settings)
        readonly = int(profile.pop("readonly", "0")) or readonly
        return Order(
            asked=asked.asked,
            role=role_of(self._users, asked.user),
            readonly=0 if asked.asked.session else readonly,  # it could not be taken back
            settings=profile,
            tables=asked.tables,
        )

    @asynccontextmanager
    async def _handle(self, order: Order) -> AsyncIterator[Handle]:
        """The handle of a statement's session, or one of its own."""
        if order.asked.session is None:
            handle = await self._engine.open(order)
            try:
                yield handle
            finally:
                await self._engine.close(handle)
            return
        owner, session = order.asked.user, order.asked.session
        plain = replace(order, tables=())
        async with self.sessions.held(owner, session, lambda: self._engine.open(plain)) as handle:
            try:
                await self._engine.prepare(handle, order)
                yield handle
            finally:
                await self._engine.reset(handle, order)

    async def _send(
        self, request: web.Request, asked: Request, answer: Answer, fmt: str
    ) -> web.StreamResponse:
        headers = responses.headers_of(asked.asked.query_id, fmt, answer.counts)
        with self._unread(len(answer.body)):
            return await self._send_pieces(request, asked, headers, _chunks(answer.body))

    async def _send_pieces(
        self, request: web.Request, asked: Request, headers: dict[str, str],
        pieces: AsyncIterator[bytes],
    ) -> web.StreamResponse:  # fmt: skip
        return await responses.send(
            request, headers, pieces, self._settings, may_compress=asked.asked.compresses
        )

    @contextmanager
    def _unread(self, size: int) -> Iterator[None]:
        """Bytes that slow readers have not taken yet. Raises ServerError 241 for too many."""
        counted = size if size > _SMALL else 0
        if self._unread_bytes and self._unread_bytes + counted > _MAX_UNREAD:
            raise ServerError(MEMORY_LIMIT_EXCEEDED, "Too many answers wait for their readers")
        self._unread_bytes += counted
        try:
            yield
        finally:
            self._unread_bytes -= counted


def _only_post() -> ServerError:
    return ServerError(
        READONLY,
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly."
        " You should use method POST for modifying queries",
    )


async def _chunks(first: bytes, rest: AsyncIterator[bytes] | None = None) -> AsyncIterator[bytes]:
    if first:
        yield first
    if rest is not None:
        async for chunk in rest:
            yield chunk
