"""Events that Kafka took long ago: a processor's memory does not hold them any more.

Kafka's own stamps cannot be set back. So the topic keeps those of its producers
(`Topics.keep_stamps`): ingest's are of the moment, as the broker's would be, and the records that
are written here bear a time of long ago. They are what ingest would have written then, by its own
code.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from libs.events.codec import join_lines
from libs.events.partitions import partition_of
from libs.events.record_index import HEADER, index_of
from services.ingest.batches import prepare_batch
from services.ingest.cardinality import Cardinality
from services.ingest.countries import country_by_registry
from services.ingest.enrich import Caller, Submission
from services.ingest.publisher import Line
from tests.e2e.model import Sent
from tests.e2e.topics import Topics
from tests.turns import finish


def write_earlier(
    topics: Topics, project_id: str, sent: Sequence[Sent], taken_at: datetime
) -> None:
    """Write events to the topic, in order, as if they had been sent to ingest at that time."""
    by_partition: defaultdict[int, list[Line]] = defaultdict(list)
    for one in sent:
        line = _line(project_id, one, taken_at)
        by_partition[partition_of(line.key, topics.partitions)].append(line)
    for partition, lines in by_partition.items():
        value = join_lines(line.json for line in lines)
        index = index_of(value, [line.entry for line in lines])
        topics.write([value], partition, [(HEADER, index)], taken_at)


def _line(project_id: str, sent: Sent, taken_at: datetime) -> Line:
    submission = Submission(
        project_id=project_id,
        may_be_live=not sent.by_test_key,
        accepted_at=taken_at.astimezone(UTC),
        caller=Caller(lambda: "127.0.0.1", sent.user_agent, country_by_registry),
        country_of=country_by_registry,
        cardinality=Cardinality(1_000, 1 << 20),
    )
    batch = finish(prepare_batch([json.dumps(sent.event).encode()], submission))
    assert not batch.rejected, batch.rejected
    (line,) = batch.lines
    return line
