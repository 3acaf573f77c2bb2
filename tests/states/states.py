"""States in which nothing, or not everything, is counted: how each comes about, and its cure.

A cure is what the documents say. `alerts`: one of them has to fire; a state in which a process ends
by itself is told by its end as well. `doctor`: a check that is not well then, and a part of what it
says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.states.faults import (
    NAMED,
    add_partitions,
    delete_topic,
    forget_migration,
    init_anew,
    kill,
    let_another_topic_hold_the_name,
    make_topic_anew,
    make_topic_anew_under_the_processor,
    move,
    ragtime,
    raise_limit,
    server,
    sql,
    start,
    start_after_the_session,
    start_twin,
    stop_twin,
    tear,
    write_what_is_no_event,
)
from tests.states.world import World

_ABSENT = frozenset({"RagtimeServiceAbsent", "RagtimeProcessDown"})


@dataclass(frozen=True)
class State:
    """See above. `ends`: the service that ends by itself; `settings`: of all, from the start."""

    name: str
    make: Callable[[World], None]
    cure: Callable[[World], None]
    alerts: frozenset[str]
    doctor: tuple[str, str]
    ends: str = ""
    has_own_servers: bool = False
    remains: str = ""  # what the doctor goes on telling of after the cure
    settings: Mapping[str, str] = field(default_factory=dict)


STATES = (
    State("ingest is gone", kill("ingest"), start("ingest"), _ABSENT, ("services", "no answer")),
    State("query is gone", kill("query"), start("query"), _ABSENT, ("services", "no answer")),
    State(
        "the processor is gone",
        kill("processor"),
        start("processor"),
        _ABSENT | {"RagtimeNothingCounted"},
        ("services", "no answer"),
    ),
    State(
        "two processors have one name",
        start_twin,
        stop_twin,
        frozenset({"RagtimePartitionsNotReady", "RagtimeProcessDown"}),
        ("services", "is not well"),
        settings=NAMED,
    ),
    State(
        "Kafka holds another topic's partitions for the name",
        let_another_topic_hold_the_name,
        start_after_the_session,
        _ABSENT,
        ("services", "no answer"),
        ends="processor",
    ),
    State(
        "the topic was made anew while the processor was stopped",
        make_topic_anew,
        move,
        frozenset({"RagtimeTopicMismatch"}),
        ("topics", "holds another record|ends before offset"),
        remains="clocks",
    ),
    State(
        "the topic was made anew under the processor",
        make_topic_anew_under_the_processor,
        move,
        frozenset({"RagtimeTopicMismatch"}) | _ABSENT,
        ("topics", "holds another record|ends before offset"),
        remains="clocks",
        ends="processor",
    ),
    State(
        "a broker has lost the end of a log",
        tear,
        move,
        frozenset({"RagtimeTopicMismatch"}) | _ABSENT,
        ("topics", "holds another record|ends before offset"),
        remains="clocks",
        ends="processor",
        has_own_servers=True,
    ),
    State(
        "the topic is gone",
        delete_topic,
        init_anew,
        frozenset({"RagtimePublishFailures", "RagtimeKafkaAway", "RagtimeTopicMismatch"}) | _ABSENT,
        ("topics", "Events were counted from it"),
    ),
    State(
        "the topic has more partitions",
        add_partitions,
        move,
        frozenset({"RagtimeTopicMismatch", "RagtimePartitionsNotReady"}),
        ("topics", "nothing is counted"),
        remains="clocks",
    ),
    State(
        "a table is gone",
        sql("DETACH TABLE events"),
        sql("ATTACH TABLE events"),
        frozenset({"RagtimeOperatorNeeded"}),
        ("migrations", "not there: .*events"),
    ),
    State(
        "ClickHouse takes no more parts",
        sql("ALTER TABLE events MODIFY SETTING parts_to_throw_insert = 1"),
        sql("ALTER TABLE events RESET SETTING parts_to_throw_insert"),
        # Its answer does not tell whether rows of it arrived: the processor looks, each time.
        frozenset({"RagtimeRecoveryLoop"}),
        ("lag", "standing still"),
    ),
    State(
        "the dead letters are held",
        write_what_is_no_event,
        raise_limit,
        frozenset({"RagtimeDeadLettersHeld"}),
        ("services", "dead_letters is not well"),
        remains="dead-letters",
        settings={"RAGTIME_DEAD_LETTERS__LIMIT": "10"},
    ),
    State(
        "a migration is missing",
        forget_migration,
        ragtime("migrate"),
        frozenset({"RagtimeMigrationsWaiting"}),
        ("migrations", "missing|waiting"),
    ),
    State(
        "Kafka is killed",
        server("kafka", "kill"),
        server("kafka", "start"),
        frozenset({"RagtimeKafkaAway"}),
        ("kafka", "See whether Kafka is up"),
        has_own_servers=True,
    ),
    State(
        "Kafka stands still",
        server("kafka", "freeze"),
        server("kafka", "thaw"),
        frozenset({"RagtimeKafkaAway"}),
        ("kafka", r"no answer within \d+ s"),
        has_own_servers=True,
    ),
    State(
        "ClickHouse is killed",
        server("clickhouse", "kill"),
        server("clickhouse", "start"),
        frozenset({"RagtimeClickHouseAway"}),
        ("clickhouse", "See whether ClickHouse is up"),
        has_own_servers=True,
    ),
    State(
        "ClickHouse stands still",
        server("clickhouse", "freeze"),
        server("clickhouse", "thaw"),
        frozenset({"RagtimeClickHouseAway"}),
        ("clickhouse", r"no answer within \d+ s"),
        has_own_servers=True,
    ),
)
