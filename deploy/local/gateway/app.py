"""Builds the gateway: one handler that takes a request apart and hands it to the engine."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

from aiohttp import web

from deploy.local.gateway import bodies, statements
from deploy.local.gateway.engine import Engine
from deploy.local.gateway.errors import (
    BAD_ARGUMENTS,
    MEMORY_LIMIT_EXCEEDED,
    READONLY,
    SYNTAX_ERROR,
    ServerError,
    status_of,
)
from deploy.local.gateway.settings import Settings
from deploy.local.gateway.users import (
    User,
    authenticate,
    check_rights,
    check_settings,
    check_tables,
    read_users,
    tables_of,
)

_PING_S = 5.0
_GRACE_S = 6.0
_MAX_FORM = 64 << 20
# Answers lie in memory until their readers have taken them; small ones are not counted.
_MAX_UNREAD = 1 << 30
_SMALL = 1 << 20


def build(settings: Settings) -> web.Application:
    """The application; raises OSError or msgspec.ValidationError when the users' file is bad."""
    users = read_users(settings.users_file)
    settings.data_dir.mkdir(parents=True, exist_ok=True)

    async def with_engine(app: web.Application) -> AsyncIterator[None]:
        engine = Engine(settings.data_dir)
        await engine.start()
        app[ENGINE] = engine
        yield
        await engine.stop()

    unread = _Unread()

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = await _answer(request, settings.body_timeout_s, users)
            return await unread.send(request, answer)
        except ServerError as error:
            return _error(error)

    app = web.Application(client_max_size=_MAX_FORM, handler_args={"auto_decompress": False})
    app[TABLES] = tables_of(users.values())
    app.cleanup_ctx.append(with_engine)
    app.router.add_get("/ping", _ping)
    app.router.add_get("/", handle)
    app.router.add_post("/", handle)
    return app


ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
TABLES: web.AppKey[frozenset[str]] = web.AppKey("tables", frozenset)


def main() -> None:
    """Serve until SIGTERM; running statements may finish, then the engine is closed."""
    settings = Settings()
    web.run_app(
        build(settings),
        host=settings.host,
        port=settings.port,
        print=lambda *_: None,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_GRACE_S,
    )


async def _ping(request: web.Request) -> web.Response:
    async with asyncio.timeout(_PING_S):
        await request.app[ENGINE].ping()
    return web.Response(text="Ok.\n")


class _Unread:
    """The bytes of answers that slow readers have not taken yet, within a bound."""

    def __init__(self) -> None:
        self._bytes = 0

    async def send(self, request: web.Request, answer: web.Response) -> web.Response:
        """Send an answer to its end. Raises ServerError 241 when too much is unread."""
        size = answer.content_length or 0
        if size <= _SMALL:
            return answer
        if self._bytes and self._bytes + size > _MAX_UNREAD:
            raise ServerError(MEMORY_LIMIT_EXCEEDED, "Too many answers wait for their readers")
        self._bytes += size
        try:
            await answer.prepare(request)
            await answer.write_eof()
        finally:
            self._bytes -= size
        return answer


async def _answer(
    request: web.Request, body_timeout_s: float, users: dict[str, User]
) -> web.Response:
    body = bodies.decoded(request, body_timeout_s)
    fields = dict(request.query)
    if request.content_type == "multipart/form-data":
        fields |= await _form(request)
        body = _nothing()
    asked = statements.parameters(fields)
    user = authenticate(users, *_credentials(request, asked))
    check_settings(user, asked.settings)
    asked = _without_files(user, _with_id(asked))
    head, is_whole = asked.sql + b"\n" if asked.sql else b"", False
    insert = statements.insert_with_data(head)
    if not head:
        head, is_whole = await bodies.read_head(body)
        insert = statements.insert_with_data(head, is_whole=is_whole)
    if insert is None:
        sql = await bodies.read_sql(head, body)
        return await _run(request, user, sql.strip(), asked)
    if request.method != "POST":
        raise _readonly()
    statement, first = insert
    check_rights(user, "insert", statement.table)
    rows = await request.app[ENGINE].insert(statement, _chunks(first, body), asked)
    return _success(b"", "TabSeparated", asked, rows)


async def _run(
    request: web.Request, user: User, sql: bytes, asked: statements.Parameters
) -> web.Response:
    if not sql:
        raise ServerError(SYNTAX_ERROR, "Syntax error: Empty query")
    statements.check_allowed(sql)
    if user.role != "admin":
        statements.check_no_files(sql)
        statements.check_plain_names(sql)
    engine = request.app[ENGINE]
    kind = await engine.classify(sql)
    check_rights(user, kind, statements.target_of_insert(sql) or "")
    check_tables(user, kind, statements.names(sql), request.app[TABLES])
    if request.method != "POST" and kind != "read":
        raise _readonly()
    readonly = _readonly_level(request, user, kind, sql)
    text, fmt = statements.split_format(statements.rewritten(sql))
    answer = await engine.query(text, fmt, asked, readonly=readonly)
    return _success(answer, fmt, asked, 0)


def _readonly_level(request: web.Request, user: User, kind: str, sql: bytes) -> int:
    """The engine's `readonly`. With 2 settings may change: a client reads which it may send, as
    all may beside a statement, and a writer changes some in its inserts."""
    if user.role == "reader":
        return 2 if statements.asks_for_settings(sql) else 1
    return 2 if kind == "read" and (user.role == "writer" or request.method != "POST") else 0


def _readonly() -> ServerError:
    return ServerError(READONLY, "Cannot execute query in readonly mode: only POST may change data")


async def _form(request: web.Request) -> dict[str, str]:
    try:
        return {name: await _text(value) for name, value in (await request.post()).items()}
    except ValueError as error:
        raise ServerError(BAD_ARGUMENTS, f"Cannot read the form: {error}") from None


def _with_id(asked: statements.Parameters) -> statements.Parameters:
    if asked.query_id:
        return asked
    return replace(asked, query_id=str(uuid4()))


def _without_files(user: User, asked: statements.Parameters) -> statements.Parameters:
    if user.role == "admin" or asked.database not in {"", statements.FILES}:
        return asked
    return replace(asked, database="system")


def _credentials(request: web.Request, asked: statements.Parameters) -> tuple[str, str]:
    headers = request.headers
    if "X-ClickHouse-User" in headers:
        return headers["X-ClickHouse-User"], headers.get("X-ClickHouse-Key", "")
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return name, password
    return asked.user or "default", asked.password


async def _nothing() -> AsyncIterator[bytes]:
    empty: tuple[bytes, ...] = ()
    for chunk in empty:
        yield chunk


async def _chunks(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


async def _text(value: object) -> str:
    if isinstance(value, web.FileField):
        return value.file.read().decode()
    return value.decode() if isinstance(value, bytes) else str(value)


def _success(
    body: bytes, fmt: str, asked: statements.Parameters, written_rows: int
) -> web.Response:
    summary = {"written_rows": str(written_rows), "result_rows": "0"}
    return web.Response(
        body=body,
        headers={
            "Content-Type": "application/octet-stream",
            "X-ClickHouse-Format": fmt,
            "X-ClickHouse-Query-Id": asked.query_id,
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Server-Display-Name": "gateway",
            "X-ClickHouse-Summary": json.dumps(summary),
        },
    )


def _error(error: ServerError) -> web.Response:
    return web.Response(
        body=f"{error}\n".encode(errors="replace"),
        content_type="text/plain",
        status=status_of(error.code),
        headers={"X-ClickHouse-Exception-Code": str(error.code)},
    )
