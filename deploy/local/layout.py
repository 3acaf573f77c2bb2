"""Where the local stack keeps its things."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# The interpreter that runs this is the one that runs the services.
PYTHON = sys.executable


class StackError(Exception):
    """Something that the person at the terminal can mend; the text says what and how."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one stack. Its state may lie anywhere; the jars are shared by all stacks."""

    state: Path
    cache: Path

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def kafka(self) -> Path:
        return self.state / "kafka"

    @property
    def clickhouse(self) -> Path:
        return self.state / "clickhouse"

    @property
    def clickhouse_users(self) -> Path:
        return self.state / "clickhouse-users.json"

    @property
    def ports(self) -> Path:
        return self.state / "ports.json"

    @property
    def secrets(self) -> Path:
        return self.state / "secrets.json"

    @property
    def supervisor(self) -> Path:
        return self.state / "run" / "supervisor.json"

    @property
    def demo_env(self) -> Path:
        return self.state / "demo.env"

    @property
    def ragtime_env(self) -> Path:
        return self.state / "ragtime.env"

    @property
    def demo_sent(self) -> Path:
        return self.state / "demo.sent"

    def process(self, name: str) -> Path:
        """Where a process of the stack leaves who it is."""
        return self.state / "run" / f"{name}.json"

    def log(self, name: str) -> Path:
        """What a process of the stack says."""
        return self.logs / f"{name}.log"


def layout() -> Layout:
    """The layout of this checkout; RAGTIME_LOCAL_DIR puts the state of a second stack elsewhere."""
    home = CHECKOUT / ".local"
    return Layout(Path(os.environ.get("RAGTIME_LOCAL_DIR") or home).absolute(), home / "cache")


def make_state(where: Layout) -> None:
    """Make the folders. The data are nobody else's business on a shared machine."""
    where.state.mkdir(parents=True, exist_ok=True)
    where.state.chmod(0o700)
    where.logs.mkdir(exist_ok=True)
    where.supervisor.parent.mkdir(exist_ok=True)
