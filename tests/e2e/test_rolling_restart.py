"""All processes restarted in turn under load: nothing lost, nothing doubled, no reader notices."""

from pathlib import Path

import pytest

from tests.e2e.fleet import REPLICAS, ROLES, running_fleet
from tests.e2e.rolling import check, roll
from tests.servers import Servers

pytestmark = pytest.mark.e2e


def test_nothing_is_lost_doubled_or_refused_when_everything_is_restarted_in_turn(
    real_servers: Servers, tmp_path: Path
) -> None:
    with running_fleet(real_servers, tmp_path, lease_s=1.0) as fleet:
        seen, sent = roll(fleet, rounds=1)
        check(seen)
        assert len(sent) > 500
        assert {role: len(took) for role, took in fleet.stop_seconds.items()} == dict.fromkeys(
            ROLES, REPLICAS
        )
        for log in tmp_path.glob("*.log"):
            text = log.read_text("utf-8")
            assert "Traceback" not in text, text[-2000:]
            assert "cut_off" not in text, text[-2000:]
