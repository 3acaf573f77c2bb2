"""A multipart form: fields as in the URL, and external tables, which come as files.

A field is within the same limit as one of the URL (`fields.py`). An external table is not: it is
bounded by the size of the whole form, as on a server (`src/Core/ExternalTable.cpp`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from aiohttp import BodyPartReader, MultipartReader, web

from deploy.local.gateway.errors import (
    BAD_ARGUMENTS,
    LIMIT_EXCEEDED,
    SOCKET_TIMEOUT,
    FormError,
    ServerError,
)
from deploy.local.gateway.fields import Pairs, check_number, check_size
from deploy.local.gateway.settings import Settings

_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A table that comes along with a statement: its data, in a file until they are inserted."""

    name: str
    data: Path

    def columns(self, fields: Mapping[str, str]) -> str:
        """Its columns, in SQL. Raises ServerError where nobody said them."""
        if structure := fields.get(f"{self.name}_structure"):
            return structure
        if types := fields.get(f"{self.name}_types"):
            return ", ".join(f"_{i} {one}" for i, one in enumerate(types.split(","), 1))
        raise ServerError(
            BAD_ARGUMENTS,
            "Neither structure nor types have not been provided for external table"
            f" {self.name}. Use fields {self.name}_structure or {self.name}_types to do so",
        )

    def format(self, fields: Mapping[str, str]) -> str:
        """The format of its data."""
        return fields.get(f"{self.name}_format", "TabSeparated")


@dataclass(frozen=True, slots=True)
class Form:
    """What came in a form."""

    fields: Pairs
    tables: tuple[ExternalTable, ...]


async def read_form(request: web.Request, folder: Path, limits: Settings) -> Form:
    """The form of a request; `folder` takes its files, which the caller removes.

    Raises ServerError. What was written by then is removed.
    """
    fields: Pairs = []
    tables: list[ExternalTable] = []
    left = limits.http_max_multipart_form_data_size
    try:
        async for part in _parts(request):
            check_number(len(fields) + len(tables) + 1, limits)
            if part.filename is None:
                fields.append(await _field(part, limits))
                continue
            with NamedTemporaryFile(dir=folder, delete=False) as file:
                table = ExternalTable(part.name or "_data", Path(file.name))
                tables.append(table)
                async for piece in _pieces(part, limits):
                    left -= len(piece)
                    if left < 0:
                        raise ServerError(LIMIT_EXCEEDED, "Too much data in a multipart form")
                    file.write(piece)
    except BaseException as error:
        for table in tables:
            table.data.unlink()
        if isinstance(error, ValueError):
            raise ServerError(BAD_ARGUMENTS, f"Cannot read the form: {error}") from None
        raise
    return Form(fields, tuple(tables))


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if isinstance(part, MultipartReader):
            raise ServerError(BAD_ARGUMENTS, "A form within a form")
        yield part


async def _field(part: BodyPartReader, limits: Settings) -> tuple[str, str]:
    name, value = part.name or "", b""
    async for piece in _pieces(part, limits):
        value += piece
        if len(value) > limits.http_max_field_value_size:
            raise FormError("Field value too long")
    text = value.decode("utf-8", "surrogateescape")
    check_size(name, text, limits)
    return name, text


async def _pieces(part: BodyPartReader, limits: Settings) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(limits.http_receive_timeout):
                piece = await part.read_chunk(_PIECE)
        except TimeoutError:
            raise ServerError(SOCKET_TIMEOUT, "Timeout exceeded while reading") from None
        if not piece:
            return
        yield piece
