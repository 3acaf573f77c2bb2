"""Fetches Kafka's jars from the Maven registry, each checked against the hash noted here.

`python -m deploy.local.jars` fetches what is not in the cache yet; with `--lock` it resolves Kafka
anew, and notes names and hashes in `kafka-jars.lock`.
"""

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate

from deploy.local.kafka import JARS_LOCK, VERSION, remembered_jars
from deploy.local.layout import StackError, layout
from deploy.local.locking import locked

# Kafka's libraries log through slf4j; `simple` writes to the standard error and needs no file.
_ROOTS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar by its Maven coordinate `group:artifact:version`."""

    coordinate: str
    sha256: str


def fetch_jars(cache: Path) -> None:
    """Have all jars in the cache. Raises StackError when one cannot be had or is another."""
    remembered = remembered_jars(cache)
    with locked(cache / "lock", "another command fetches Kafka's jars"):
        if remembered.exists() and all((cache / name).exists() for name in _names(remembered)):
            return
        context = _context(cache)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            paths = list(pool.map(lambda jar: _fetch(context, jar), read_lock()))
        remembered.write_text(json.dumps([str(path.relative_to(cache)) for path in paths]))


def read_lock() -> list[Jar]:
    """The jars that Kafka needs."""
    return [Jar(*line.split()) for line in JARS_LOCK.read_text().splitlines()]


def _names(remembered: Path) -> list[str]:
    names: list[str] = json.loads(remembered.read_text())
    return names


def _context(cache: Path) -> MavenContext:
    return MavenContext(
        resolver=PythonResolver(),  # pure Python; Maven itself need not be there
        repo_cache=cache / "maven",
        local_repos=[],
        remote_repos={"central": MAVEN_CENTRAL_URL},
        timeout=60,
    )


def _fetch(context: MavenContext, jar: Jar) -> Path:
    group, name, version = jar.coordinate.split(":")
    artifact = context.project(group, name).at_version(version).artifact()
    kept = artifact.cached_path
    if kept is not None and kept.exists() and _sha256(kept) != jar.sha256:
        kept.unlink()  # the rest of an interrupted download
    try:
        path: Path = artifact.resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise StackError(
            f"{jar.coordinate}, a part of Kafka, could not be had from {MAVEN_CENTRAL_URL}: {error}"
        ) from error
    if _sha256(path) != jar.sha256:
        raise StackError(f"{path} is not the {jar.coordinate} that is expected: another hash")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_lock(cache: Path) -> None:
    """Resolve Kafka's dependencies anew and note them all."""
    context = _context(cache)
    roots = [context.create_dependency(Coordinate.parse(root)) for root in _ROOTS]
    inputs, transitive = context.resolver.resolve(roots)
    found = {str(item.artifact.component): item.artifact for item in (*inputs, *transitive)}
    lines = [f"{name} {_sha256(found[name].resolve())}\n" for name in sorted(found)]
    JARS_LOCK.write_text("".join(lines))


def main() -> int:
    """Fetch, or note with `--lock`."""
    try:
        if sys.argv[1:] == ["--lock"]:
            write_lock(layout().cache)
        fetch_jars(layout().cache)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
