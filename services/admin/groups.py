"""The consumer group of the processors, as Kafka describes it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupIdNotFound,
    NotCoordinatorError,
    for_code,
)

from libs.settings import KafkaSettings
from services.admin.running import fail
from services.admin.topics import admin_client

A = TypeVar("A")

_LOOKS, _PAUSE_S = 30, 1.0


async def group_of(client: AIOKafkaAdminClient, group: str) -> tuple[str, list[Any]]:
    """The state of a group and its members; none where there is no such group.

    Raises KafkaError, also where the user may not know: that must not look as if nobody ran.
    """
    (response,) = await client.describe_consumer_groups([group])
    code, _, state, _, _, members, *_ = response.groups[0]
    if code not in {0, GroupIdNotFound.errno}:
        raise for_code(code)(f"group {group}")
    return state, members


def owned_partitions(members: list[Any], topic: str) -> set[int]:
    """The partitions of a topic that some members own."""
    found: set[int] = set()
    for *_, assignment in (member[:5] for member in members):
        if assignment:
            decoded = ConsumerProtocolMemberAssignment.decode(assignment)
            found |= {one.partition for one in decoded.partitions() if one.topic == topic}
    return found


async def has_readers(client: AIOKafkaAdminClient, group: str, topic: str) -> bool:
    """Whether a member of a group reads a topic, or may. Raises KafkaError.

    While a group is about to agree it does not tell what its members read.
    """
    for _ in range(_LOOKS):
        members = await patient_members(client, group)
        told = [metadata for *_, metadata, _assignment in (member[:5] for member in members)]
        if all(told):
            topics = (ConsumerProtocolMemberMetadata.decode(one).subscription for one in told)
            return any(topic in some for some in topics)
        await asyncio.sleep(_PAUSE_S)
    return True


async def patient_members(client: AIOKafkaAdminClient, group: str) -> list[Any]:
    """The members of a group. Raises KafkaError."""
    return (await _patiently(lambda: group_of(client, group)))[1]


async def committed_offsets(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """What the group says is done; nothing of one that Kafka does not know. Raises KafkaError."""
    found = await _patiently(lambda: client.list_consumer_group_offsets(group))
    return {one: place.offset for one, place in found.items() if place.offset >= 0}


async def _patiently(ask: Callable[[], Awaitable[A]]) -> A:
    """The answer, also of a broker that has just started, or that has never had a group."""
    for _ in range(_LOOKS):
        try:
            return await ask()
        except (
            CoordinatorNotAvailableError,
            CoordinatorLoadInProgressError,
            NotCoordinatorError,
        ):
            await asyncio.sleep(_PAUSE_S)
    return await ask()


async def check_that_none_runs(kafka: KafkaSettings, group: str) -> None:
    """End the command where a processor is a member of the group. Raises KafkaError."""
    async with admin_client(kafka) as client:
        members = await patient_members(client, group)
    if members:
        fail(
            f"group {group} has {len(members)} members: stop the processors first. One that ended"
            " without leaving is a member until its session ends"
        )
