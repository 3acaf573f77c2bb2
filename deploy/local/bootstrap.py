"""Makes the virtual environment: `python -m deploy.local.bootstrap local|dev`.

It installs a hashed requirements file and then the checkout itself; a repeat costs nothing. It runs
before anything is installed: standard library only.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from deploy.local.layout import CHECKOUT, StackError
from deploy.local.locking import locked

Command = list[str | Path]

VENV = CHECKOUT / ".venv"
_PYTHON = VENV / "bin" / "python"
_PIP: Command = [_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
_LOG = CHECKOUT / ".local" / "logs" / "install.log"
_TAIL_LINES = 12
# dev holds all that local does, with the same versions.
_SETS = {"local": ("local", "dev"), "dev": ("dev",)}
_IS_USABLE = "import pip, sys; sys.exit(sys.version_info < (3, 11))"


def bootstrap(name: str) -> None:
    """Have a set of requirements installed. Raises StackError when something fails."""
    with locked(CHECKOUT / ".local" / "install.lock", "another command installs"):
        if any(_stamp(other) == _wanted(other) for other in _SETS[name]):
            return
        _LOG.parent.mkdir(parents=True, exist_ok=True)
        _LOG.write_text("")
        if not _is_usable():
            _run("making the virtual environment", [sys.executable, "-m", "venv", "--clear", VENV])
        file = _requirements(name)
        packages = file.read_text().count("==")
        what = f"installing {packages} packages of requirements/{name}.txt"
        _run(what, [*_PIP, "--require-hashes", "--no-deps", "-r", file], packages)
        _run(
            "installing the checkout",
            [*_PIP, "--no-deps", "--no-build-isolation", "-e", CHECKOUT],
        )
        _stamp_file(name).write_text(_wanted(name))


def _requirements(name: str) -> Path:
    return CHECKOUT / "requirements" / f"{name}.txt"


def _stamp_file(name: str) -> Path:
    return VENV / f"ragtime-{name}.stamp"


def _stamp(name: str) -> str:
    file = _stamp_file(name)
    return file.read_text() if file.exists() and _is_usable() else ""


def _wanted(name: str) -> str:
    # The place too: a virtual environment that was moved points to where it was.
    digest = hashlib.sha256(str(CHECKOUT).encode())
    for file in (_requirements(name), CHECKOUT / "pyproject.toml"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_usable() -> bool:
    try:
        done = subprocess.run([_PYTHON, "-c", _IS_USABLE], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _run(what: str, command: Command, packages: int = 0) -> None:
    print(f"{what} …", flush=True)
    said: list[str] = []
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process, _LOG.open("a") as log:
        for line in process.stdout or ():
            said.append(line)
            log.write(line)
            _show_progress(sum(one.startswith("Collecting ") for one in said), packages)
    if process.returncode != 0:
        tail = "".join(said[-_TAIL_LINES:])
        raise StackError(f"{what} failed:\n{tail}{_advice(tail)}\nAll it said: {_LOG}")


def _show_progress(done: int, packages: int) -> None:
    if packages and sys.stdout.isatty():
        text = f"  {done} of {packages} packages" if done < packages else "  unpacking"
        print(f"\r{text:40}\r", end="", flush=True)


def _advice(said: str) -> str:
    """What to do about a failure, from what was said."""
    if "ensurepip" in said:
        return "This Python cannot make virtual environments; on Debian: apt install python3-venv"
    if "No space left" in said:
        return "The disk is full: 1.5 GB are needed."
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in said:
        return (
            "A download is not what was expected; `git status requirements` should show no change."
        )
    if "No matching distribution" in said or "Could not find a version" in said:
        return (
            "A package could not be had: is the network there, and a proxy (HTTPS_PROXY) or an"
            " index of your own (PIP_INDEX_URL) set where it is needed? Then run this again."
        )
    return "Run it again when the cause is mended; what is installed already is kept."


def main() -> int:
    """Install the set that the first argument names."""
    if len(sys.argv) != 2 or sys.argv[1] not in _SETS:
        print(f"usage: python -m deploy.local.bootstrap {'|'.join(_SETS)}", file=sys.stderr)
        return 2
    try:
        bootstrap(sys.argv[1])
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
