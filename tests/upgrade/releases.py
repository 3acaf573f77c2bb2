"""An older release out of git: its files in a folder, and an environment with its requirements."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from deploy.local.layout import layout
from tests.e2e.processes import CHECKOUT, Release

# The commit before ingest wrote digests; it serves until there is a tag.
FIRST = "4917e8592cb3"
_SETS = ("ingest", "processor", "query", "admin")


class NoReleaseError(Exception):
    """The clone does not hold what is asked for; the text says what to do."""


def earlier_revision(clone: Path = CHECKOUT) -> str:
    """The last tag before this commit; without one, the commit that is named here."""
    done = _git(clone, "describe", "--tags", "--abbrev=0", "HEAD^")
    return done.stdout.decode().strip() if done.returncode == 0 else FIRST


def commit_of(revision: str, clone: Path = CHECKOUT) -> str:
    """The full name of a commit. Raises NoReleaseError where the clone does not hold it."""
    done = _git(clone, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if done.returncode == 0:
        return done.stdout.decode().strip()
    shallow = _git(clone, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    advice = "a shallow clone: git fetch --unshallow --tags" if shallow else "git fetch --tags"
    raise NoReleaseError(f"this clone does not hold {revision} ({advice}); nothing was tested")


def older_release(commit: str, folder: Path) -> Release:
    """The files of a commit, and an interpreter for them: this one where all versions are equal."""
    archive = _git(CHECKOUT, "archive", "--format=tar", commit, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    files = [folder / "requirements" / f"{name}.txt" for name in _SETS]
    here = [CHECKOUT / "requirements" / file.name for file in files]
    if [file.read_bytes() for file in files] == [file.read_bytes() for file in here]:
        return Release(folder, sys.executable)
    return Release(folder, str(_environment(files)))


def known_to(release: Release, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that a release has: an older one ends where it is told others."""
    files = [path for top in ("libs", "services") for path in (release.folder / top).rglob("*.py")]
    words = set(re.findall(r"\w+", " ".join(file.read_text("utf-8") for file in files)))
    return {
        name: value
        for name, value in environment.items()
        if name.removeprefix("RAGTIME_").rpartition("__")[2].lower() in words
    }


def _environment(requirements: list[Path]) -> Path:
    # It is kept: the same requirements need no second installation.
    digest = hashlib.sha256(sys.version.encode())
    for file in requirements:
        digest.update(file.read_bytes())
    place = layout().cache / f"release-{digest.hexdigest()[:16]}"
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        for file in requirements:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(file)], check=True)
        (place / "complete").touch()
    return python


def _git(clone: Path, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", clone, *arguments], capture_output=True, check=check)
