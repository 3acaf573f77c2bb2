"""Which older release is taken, and that a clone without it is told loudly."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import CHECKOUT, THIS, Release
from tests.upgrade.releases import (
    FIRST,
    NoReleaseError,
    commit_of,
    earlier_revision,
    known_to,
)


def _git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository of three commits, of which the second is not tagged yet."""
    (folder := tmp_path / "clone").mkdir()
    _git(folder, "init", "--quiet")
    for name in ("first", "second", "third"):
        _git(folder, "commit", "--quiet", "--allow-empty", "--message", name)
    return folder


def test_revision_is_the_last_tag_before_this_commit(clone: Path) -> None:
    _git(clone, "tag", "v0.1.0", "HEAD~2")
    _git(clone, "tag", "v0.2.0", "HEAD^")
    _git(clone, "tag", "v0.3.0", "HEAD")
    assert earlier_revision(clone) == "v0.2.0"
    assert commit_of("v0.2.0", clone) == _git(clone, "rev-parse", "HEAD^")


def test_revision_is_the_named_commit_when_there_is_no_tag(clone: Path) -> None:
    assert earlier_revision(clone) == FIRST


@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="the files came without git")
def test_named_commit_is_one_of_this_repository() -> None:
    if _git(CHECKOUT, "rev-parse", "--is-shallow-repository") == "true":
        with pytest.raises(NoReleaseError, match="shallow"):
            commit_of(FIRST)
    else:
        assert commit_of(FIRST).startswith(FIRST)


def test_missing_revision_is_told_with_advice(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(NoReleaseError, match=r"does not hold v9 \(git fetch --tags\)"):
        commit_of("v9", clone)
    shallow = tmp_path / "shallow"
    _git(tmp_path, "clone", "--quiet", "--depth=1", clone.as_uri(), str(shallow))
    with pytest.raises(NoReleaseError, match=r"a shallow clone: git fetch --unshallow --tags"):
        commit_of(_git(clone, "rev-parse", "HEAD^"), shallow)


def test_older_release_is_told_the_settings_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "settings.py").write_text("class Rates:\n    per_key: int\n")
    given = {
        "RAGTIME_RATE_LIMIT__PER_KEY": "30",
        "RAGTIME_RATE_LIMIT__EVENTS_PER_KEY": "100",
        "RAGTIME_TRUSTED_PROXIES": "10.0.0.0/8",
    }
    assert set(known_to(Release(tmp_path, "python"), given)) == {"RAGTIME_RATE_LIMIT__PER_KEY"}
    assert known_to(THIS, given) == given
