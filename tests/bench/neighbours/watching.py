"""What the services take meanwhile, beside what the chart gives, and how far they are behind."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.local.layout import CHECKOUT
from tests.bench.measure import cost_of
from tests.bench.neighbours.stage import Stage

_VALUES = CHECKOUT / "deploy" / "helm" / "ragtime-analytics" / "values.yaml"
_UNITS = {"Mi": 1, "Gi": 1024}
_LOOK_EVERY_S = 0.5


def limits_mib() -> dict[str, int]:
    """What each service may have by the chart's defaults."""
    values = yaml.safe_load(_VALUES.read_text("utf-8"))
    texts = {
        name: values[name]["resources"]["limits"]["memory"]
        for name in ("ingest", "processor", "query")
    }
    return {name: int(text[:-2]) * _UNITS[text[-2:]] for name, text in texts.items()}


def forget_peaks(pids: dict[str, int]) -> None:
    """Let the peaks begin anew (proc(5), clear_refs)."""
    for pid in pids.values():
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def peaks_mib(pids: dict[str, int]) -> dict[str, float]:
    """The most that each process had since then; one that has ended is left out."""
    found = {}
    for name, pid in pids.items():
        with suppress(OSError):
            found[name] = round(cost_of(pid).peak_mib, 1)
    return found


async def lag_of(stage: Stage, within_s: float) -> tuple[float, float | None]:
    """Records that are not counted now, and the seconds until all of these are.

    None: not within so many seconds.
    """
    topics = stage.stack.topics
    consumer = AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers, group_id=topics.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topics.events, at) for at in range(topics.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        started = time.monotonic()
        lag = await _missing(consumer, ends)
        left = lag
        while left and time.monotonic() - started < within_s:
            await asyncio.sleep(_LOOK_EVERY_S)
            with suppress(KafkaError):
                left = await _missing(consumer, ends)
        return lag, None if left else time.monotonic() - started
    finally:
        await consumer.stop()


async def _missing(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> float:
    done = {partition: await consumer.committed(partition) or 0 for partition in ends}
    return float(sum(max(0, end - done[partition]) for partition, end in ends.items()))
