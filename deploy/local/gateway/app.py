"""Builds the gateway: one handler that takes a request apart and hands it to the engine."""

import asyncio
import base64
import binascii
import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from uuid import uuid4

import lz4.frame
import zstandard
from aiohttp import web

from deploy.local.gateway import statements
from deploy.local.gateway.engine import Engine
from deploy.local.gateway.errors import BAD_ARGUMENTS, ServerError, status_of
from deploy.local.gateway.settings import Settings
from deploy.local.gateway.users import User, authenticate, check_rights, read_users

_PING_S = 5.0
_GRACE_S = 6.0
_CHUNK = 1 << 20
# An INSERT's SQL at the head of a body must end within so many bytes.
_MAX_HEAD = 1 << 18
_MAX_SQL = 64 << 20

_DECODERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "": lambda: bytes,
    "identity": lambda: bytes,
    "gzip": lambda: zlib.decompressobj(31).decompress,
    "deflate": lambda: zlib.decompressobj().decompress,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
    "lz4": lambda: lz4.frame.LZ4FrameDecompressor().decompress,
}


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

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await _answer(request, request.app[ENGINE], users)
        except ServerError as error:
            return _error(error)

    app = web.Application(client_max_size=_MAX_SQL, handler_args={"auto_decompress": False})
    app.cleanup_ctx.append(with_engine)
    app.router.add_get("/ping", _ping)
    app.router.add_route("*", "/", handle)
    return app


ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)


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


async def _answer(request: web.Request, engine: Engine, users: dict[str, User]) -> web.Response:
    body = _decoded(request)
    fields = dict(request.query)
    if request.content_type == "multipart/form-data":
        fields |= {name: await _text(value) for name, value in (await request.post()).items()}
        body = _nothing()
    asked = statements.parameters(fields)
    user = authenticate(users, *_credentials(request, asked))
    asked = _with_id(asked)
    head = asked.sql + b"\n" if asked.sql else b""
    if statements.is_insert(asked.sql) or not asked.sql:
        head += await _read(body, _MAX_HEAD, enough=not asked.sql)
    insert = statements.insert_with_data(head)
    if insert is not None:
        statement, first = insert
        check_rights(user, "insert", statement.table)
        rows = await engine.insert(statement, _chunks(first, body), asked)
        return _success(b"", "TabSeparated", asked, rows)
    sql = head + await _read(body, _MAX_SQL)
    return await _run(engine, user, sql.strip(), asked)


async def _run(
    engine: Engine, user: User, sql: bytes, asked: statements.Parameters
) -> web.Response:
    if not sql:
        raise ServerError(62, "Syntax error: Empty query")
    statements.check_allowed(sql)
    kind, table = await engine.classify(sql), statements.inserted_table(sql)
    check_rights(user, "insert" if table else kind, table)
    text, fmt = statements.split_format(statements.rewritten(sql))
    answer = await engine.query(text, fmt, asked, readonly=user.role == "reader")
    return _success(answer, fmt, asked, 0)


def _with_id(asked: statements.Parameters) -> statements.Parameters:
    if asked.query_id:
        return asked
    return replace(asked, query_id=str(uuid4()))


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


async def _decoded(request: web.Request) -> AsyncIterator[bytes]:
    encoding = request.headers.get("Content-Encoding", "").lower()
    if encoding not in _DECODERS:
        raise ServerError(BAD_ARGUMENTS, f"Unknown Content-Encoding: {encoding}")
    decode = _DECODERS[encoding]()
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            yield decode(chunk)
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise ServerError(432, f"Cannot decompress the body: {error}") from None


async def _nothing() -> AsyncIterator[bytes]:
    empty: tuple[bytes, ...] = ()
    for chunk in empty:
        yield chunk


async def _read(body: AsyncIterator[bytes], most: int, *, enough: bool = False) -> bytes:
    """Up to `most` bytes and a chunk; with `enough`, no more than holds the head of an INSERT."""
    read = bytearray()
    async for chunk in body:
        read += chunk
        if len(read) >= most or (enough and statements.insert_with_data(bytes(read))):
            break
    return bytes(read)


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
        text=f"{error}\n",
        status=status_of(error.code),
        headers={"X-ClickHouse-Exception-Code": str(error.code)},
    )
