"""What is installed, and what works before anything is."""

import re
import subprocess
import sys

import pytest

from deploy.local.bootstrap import _advice
from deploy.local.kafka import JARS_LOCK, VERSION
from deploy.local.layout import CHECKOUT


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("ERROR: No matching distribution found for msgspec==0.22.0", "HTTPS_PROXY"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "git status"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("The virtual environment was not created because ensurepip is not available", "venv"),
        ("Killed", "again"),
    ],
)
def test_advice_fits_the_failure(said: str, advice: str) -> None:
    assert advice in _advice(said)


@pytest.mark.parametrize("module", ["bootstrap", "down", "status", "follow", "__main__"])
def test_module_loads_when_nothing_is_installed(module: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import deploy.local.{module}"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr.decode()


def test_requirements_are_hashed_and_name_no_registry() -> None:
    for file in (CHECKOUT / "requirements").glob("*.txt"):
        text = file.read_text()
        pins = re.findall(r"^\S+==.*$", text, re.MULTILINE)
        hashed = re.findall(r"^\S+==.* \\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(hashed) > 0
        assert "://" not in text


def test_pins_agree_between_all_requirements() -> None:
    def pins(name: str) -> set[str]:
        text = (CHECKOUT / "requirements" / f"{name}.txt").read_text()
        return set(re.findall(r"^(\S+==\S+)", text, re.MULTILINE))

    for name in ("ingest", "processor", "query", "admin"):
        assert pins(name) <= pins("local")
    assert pins("local") <= pins("dev")


def test_jars_are_noted_with_their_hashes() -> None:
    lines = JARS_LOCK.read_text().splitlines()

    assert all(re.fullmatch(r"[^\s:]+:[^\s:]+:[^\s:]+ [0-9a-f]{64}", line) for line in lines)
    assert any(line.startswith(f"org.apache.kafka:kafka_2.13:{VERSION} ") for line in lines)
