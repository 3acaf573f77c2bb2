"""A test that measures is alone among the workers of a run, and comes to its turn."""

import threading
import time
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from tests.workers import Turns


def test_who_has_to_be_alone_waits_for_all_and_is_passed_by_nobody(tmp_path: Path) -> None:
    order: list[str] = []

    def run(name: str, *, alone: bool) -> threading.Thread:
        turns = Turns(tmp_path)

        def take() -> None:
            with turns._turn(alone=alone):
                order.append(name)

        thread = threading.Thread(target=take)
        thread.start()
        return thread

    with Turns(tmp_path)._turn(alone=False), Turns(tmp_path)._turn(alone=False):
        first = run("alone", alone=True)
        while not _is_held(tmp_path / "gate"):
            time.sleep(0.001)
        second = run("later", alone=False)
        time.sleep(0.1)  # both could go now, if they might
        order.append("before")
    first.join()
    second.join()

    assert order == ["before", "alone", "later"]


def _is_held(path: Path) -> bool:
    with path.open("wb") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return True
    return False
