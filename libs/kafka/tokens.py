"""Tokens for brokers that take them by OAUTHBEARER, from a file or a command.

Whoever makes tokens keeps the file fresh: it is read anew each time a connection begins. A
command's token serves the connections of the next seconds too, as they often begin together. No
token, and nothing that a command writes, comes into a log or an error.
"""

import asyncio
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

_COMMAND_S = 10.0
_REUSE_S = 20.0


class NoTokenError(KafkaError):  # type: ignore[misc] # aiokafka has no types
    """There is no token now; the connection cannot be made, and is tried again."""


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc] # aiokafka has no types
    """What aiokafka asks before each connection, in any thread and loop."""

    def __init__(self, read: Callable[[], str], extensions: Iterable[str] = ()) -> None:
        self._read = read
        pairs = (one.partition("=") for one in extensions)
        self._extensions = {name: value for name, _, value in pairs}

    async def token(self) -> str:
        """The token. Raises NoTokenError."""
        return await asyncio.to_thread(self._read)

    def extensions(self) -> Mapping[str, str]:
        """What is sent beside the token."""
        return self._extensions


class FileToken:
    """The token that stands in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> str:
        """Read it. Raises NoTokenError."""
        try:
            return _checked(self._path.read_bytes(), "RAGTIME_KAFKA__TOKEN_FILE")
        except OSError as error:
            raise NoTokenError(
                f"RAGTIME_KAFKA__TOKEN_FILE cannot be read: {error.strerror}"
            ) from None


class CommandToken:
    """The token that a command writes."""

    def __init__(
        self,
        command: str,
        timeout_s: float = _COMMAND_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = shlex.split(command)
        self._timeout_s = timeout_s
        self._now = now
        self._lock = threading.Lock()  # several connections begin at once: they share one run
        self._token, self._until = "", 0.0

    def __call__(self) -> str:
        """Run the command, unless it was just run. Raises NoTokenError."""
        with self._lock:
            if not self._token or self._now() >= self._until:
                self._token = ""
                self._token = _checked(self._output(), "RAGTIME_KAFKA__TOKEN_COMMAND")
                self._until = self._now() + _REUSE_S
            return self._token

    def _output(self) -> bytes:
        name = "RAGTIME_KAFKA__TOKEN_COMMAND"
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NoTokenError(f"{name} cannot be run: {error.strerror}") from None
        with process:
            try:
                output, _ = process.communicate(timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                _end(process)
                raise NoTokenError(f"{name} took longer than {self._timeout_s:g} s") from None
        if process.returncode:
            raise NoTokenError(f"{name} ended with exit code {process.returncode}")
        return output


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command, with what it has started itself: that may hold its output open."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _checked(output: bytes, name: str) -> str:
    """One word of ASCII, as a header would hold it: anything else would break the request."""
    try:
        token = output.decode("ascii").strip()
    except ValueError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise NoTokenError(f"{name} gave no token: one word was expected")
    return token


@cache
def token_provider(
    file: Path | None, command: str | None, extensions: tuple[str, ...] = ()
) -> TokenProvider | None:
    """What hands over the tokens of a file or command; the same for all clients of a process."""
    if file is not None:
        return TokenProvider(FileToken(file), extensions)
    return None if command is None else TokenProvider(CommandToken(command), extensions)
