"""Certificates that no system knows, and a listener that shows one and asks for one."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files of a client, and what a server of 127.0.0.1 needs to let in nobody but him."""

    ca: Path
    certificate: Path
    key: Path
    server: ssl.SSLContext


def make_certificates(folder: Path) -> Certificates:
    """New ones, in a folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca := folder / "ca.pem")
    own = authority.issue_cert("client.example")
    (certificate := folder / "certificate.pem").write_bytes(own.cert_chain_pems[0].bytes())
    own.private_key_pem.write_to_path(key := folder / "key.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return Certificates(ca, certificate, key, context)


@asynccontextmanager
async def tls_front(server: ssl.SSLContext, port: int) -> AsyncIterator[int]:
    """The port of a listener by TLS that hands all on to another port of this machine."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    front = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()
