"""What a reader of the tables would write instead of the query service: the same SELECTs, bare.

`python -m tests.bench.peers.reader PROJECT FIRST_DAY LAST_DAY` asks what the service asks, by the
same client with the same settings, and takes the rows. No key, no limit, no JSON. Where ClickHouse
is comes in the environment, as it does for the service.
"""

import argparse
import asyncio
import json
import sys
import time
from datetime import date

import uvloop

from libs.clickhouse.connection import connect
from libs.settings import ClickHouseSettings, ServiceSettings
from services.query.questions import Question
from services.query.statements import counts, source_names
from tests.bench.ask import Pace


class Settings(ServiceSettings):
    """Where ClickHouse is."""

    clickhouse: ClickHouseSettings


async def ask(question: Question, readers: int, seconds: float) -> list[float]:
    """Milliseconds until each question's rows were there."""
    client = await connect(Settings().clickhouse)
    statements = (counts(question), source_names(question))
    pace = Pace(seconds)

    async def read() -> None:
        goes_on = True
        while goes_on:
            asked = time.monotonic()
            for statement in statements:
                result = await client.query(statement.sql, parameters=statement.parameters)
                assert result.result_rows
            goes_on = pace.note(asked)

    await asyncio.gather(*(read() for _ in range(readers)))
    await client.close()
    return pace.answered_ms


def main() -> None:
    """Ask, and print the milliseconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project")
    parser.add_argument("days", nargs=2, type=date.fromisoformat, metavar="DAY")
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    first_day, last_day = arguments.days
    question = Question(
        arguments.project, first_day, last_day, None, live_only=True, device_id=None
    )
    work = ask(question, arguments.readers, arguments.seconds)
    sys.stdout.write(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
