"""The analytics endpoint beside the same SELECTs in a bare script: 90 days, all categories.

A project with 100,000 events among 1,000 projects: 87 keys a day. One reader, and 32 at once; both
sides have as many, each in a process of its own, in turn.
"""

from datetime import UTC, datetime

from services.query.questions import Question
from tests.bench.ask import Times, times_of
from tests.bench.bulk import PROJECT, Bulk, load, merge
from tests.bench.measure import Goal, Result, Rounds, cost_of
from tests.bench.tables import Query, Tables, query_above, tables
from tests.e2e.stack import user_of

_EVENTS, _QUICK_EVENTS = 1_000_000, 100_000
_PROJECTS = 1_000
_ROUNDS, _SECONDS = 4, 4.0
_READERS = (1, 32)
_START_S = 30.0


def run(*, quick: bool) -> list[Result]:
    """For one reader and for 32: median and 99th percentile, ours ÷ bare."""
    rounds, seconds = (1, 1.0) if quick else (_ROUNDS, _SECONDS)
    bulk = Bulk(_QUICK_EVENTS if quick else _EVENTS, _PROJECTS, datetime.now(UTC))
    question = bulk.question()
    found = {readers: Rounds() for readers in _READERS}
    memory = Rounds()
    with tables() as full:
        full.run(lambda client: load(client, bulk))
        full.run(merge)
        with query_above(full, PROJECT) as query:
            for _ in range(rounds):
                for readers in _READERS:
                    found[readers].add(**_round(query, full, question, readers, seconds))
            memory.add(peak_mib=cost_of(query.service.pid).peak_mib)
    results = [result for readers in _READERS for result in _results(readers, found[readers])]
    name = "memory of query at full load"
    return [*results, memory.figure(name, "peak_mib", "MiB", Goal(at_most=150))]


def _round(
    query: Query, full: Tables, question: Question, readers: int, seconds: float
) -> dict[str, float]:
    ours = query.ask(question, readers, seconds)
    bare = _ask_bare(full, question, readers, seconds)
    return {
        f"{name}_{figure}": value
        for name, times in (("ours", ours), ("bare", bare))
        for figure, value in vars(times).items()
    }


def _ask_bare(full: Tables, question: Question, readers: int, seconds: float) -> Times:
    command = ["tests.bench.peers.reader", question.project_id]
    command += [str(question.first_day), str(question.last_day)]
    command += [f"--readers={readers}", f"--seconds={seconds}"]
    environment = full.environment | user_of(full.servers, "query")
    return times_of(command, environment, seconds + _START_S)


def _results(readers: int, rounds: Rounds) -> list[Result]:
    who = "1 connection" if readers == 1 else f"{readers} connections"
    return [
        rounds.ratio(
            f"analytics, {who}: {figure}, ours ÷ bare",
            f"ours_{figure}_ms",
            f"bare_{figure}_ms",
            Goal(at_most=bound),
        )
        for figure, bound in (("p50", 1.5), ("p99", 3))
    ]
