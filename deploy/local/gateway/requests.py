"""A request taken apart, in the server's order: fields, length, user, settings, form."""

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from aiohttp import web

from deploy.local.gateway import bodies
from deploy.local.gateway.errors import AUTHENTICATION_FAILED, HTTP_LENGTH_REQUIRED, ServerError
from deploy.local.gateway.fields import read_query
from deploy.local.gateway.forms import ExternalTable, Form, read_form
from deploy.local.gateway.parameters import Parameters, merged, parameters
from deploy.local.gateway.settings import Settings
from deploy.local.gateway.statements import FILES
from deploy.local.gateway.users import User, Users, authenticate, check_settings

_FORM = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, with which parameters, and what follows as the body."""

    user: User
    asked: Parameters
    body: AsyncIterator[bytes]
    tables: tuple[ExternalTable, ...]
    is_post: bool


async def read(request: web.Request, users: Users, limits: Settings, folder: Path) -> Request:
    """Take a request apart; `folder` takes what comes as files. Raises ServerError."""
    in_url = read_query(request.raw_path.partition("?")[2], limits)
    if request.method == "POST" and not _has_length(request):
        raise ServerError(
            HTTP_LENGTH_REQUIRED,
            "The Transfer-Encoding is not chunked and there is no Content-Length header for POST"
            " request",
        )
    asked = parameters(merged(in_url), has_form=request.content_type == _FORM)
    user = authenticate(users, *_credentials(request, asked))
    check_settings(user, asked.settings, in_session=asked.session is not None)
    form = Form([], ())
    if request.content_type == _FORM:
        form = await read_form(request, folder, limits)
        asked = parameters(merged(in_url + form.fields), has_form=True)
    return Request(
        user=user,
        asked=_of_user(user, request, asked),
        body=_nothing() if request.content_type == _FORM else bodies.decoded(request, limits),
        tables=form.tables,
        is_post=request.method == "POST",
    )


def _has_length(request: web.Request) -> bool:
    return "Content-Length" in request.headers or (
        "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    )


def _of_user(user: User, request: web.Request, asked: Parameters) -> Parameters:
    query_id = asked.query_id or request.headers.get("X-ClickHouse-Query-Id", "") or str(uuid4())
    database = request.headers.get("X-ClickHouse-Database", "") or asked.database
    if not user.may_everything and database in {"", FILES}:
        database = "system"  # the engine's own database takes any file for a table
    return replace(asked, query_id=query_id, user=user.name, database=database)


def _credentials(request: web.Request, asked: Parameters) -> tuple[str, str]:
    headers = request.headers
    by_header = "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers
    by_url = bool(asked.user or asked.password)
    if sum((by_header, by_url, "Authorization" in headers)) > 1:
        raise ServerError(
            AUTHENTICATION_FAILED,
            "Invalid authentication: it is not allowed to use several ways to tell who asks",
        )
    if by_header:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
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
