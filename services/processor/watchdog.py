"""Looks every few seconds whether the processor gets on, and lets the liveness probe tell.

It runs beside Faust from the start: whatever Faust would run waits for its first rebalance.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from itertools import islice

from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import PING
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import (
    LAG_RECORDS,
    PARTITIONS_MISMATCHED,
    PARTITIONS_STUCK,
    SERVER_ANSWERS,
)
from services.processor.agent import Agent
from services.processor.dead_letters import DeadLetters
from services.processor.health import Health
from services.processor.membership import Membership
from services.processor.progress import (
    AssignmentWatch,
    LeaderWatch,
    Look,
    ProgressWatch,
    TakeOverWatch,
)
from services.processor.topic import End, EventsTopic, tell_mismatches

_INTERVAL_S = 5.0
_ANSWER_S = 5.0
_CUT_LOOKS = 6
_ASIDE_S = 20.0
# A minute of counting after a change of leader; what had been read ahead is counted much sooner.
_COMPARED_LOOKS = 12
_COMPARED_AT_ONCE = 16
PATIENCE_S = 30.0
# More than a group may take to agree: it waits for a session that ends, at most 300 s, and again.
UNOWNED_S = 600.0
# More than a recovery waits for an answer, and for each portion of one.
TAKE_OVER_S = 600.0

_ADVICE = (
    "look whether another process has the same RAGTIME_GROUP__INSTANCE, and whether the group has"
    " members that are not processors of this topic"
)
_HANGS = "keep this log, and start the process again; ragtime doctor tells of the servers"

log = get_logger()


class Watchdog:
    """What it looks at. `run` goes on for ever."""

    def __init__(
        self,
        agent: Agent,
        membership: Membership,
        topic: EventsTopic,
        dead_letters: DeadLetters,
        client: AsyncClient,
    ) -> None:
        self._agent = agent
        self._membership = membership
        self._topic = topic
        self._dead_letters = dead_letters
        self._client = client
        self._told: set[int] = set()  # the partitions whose lag is shown
        self._cut_looks = 0

    async def run(self, health: Health, is_wanted: Callable[[], bool], statement_s: float) -> None:
        """Look again and again, as long as it is wanted. `statement_s`: what one may take."""
        watch, assignment_watch = ProgressWatch(PATIENCE_S), AssignmentWatch(UNOWNED_S)
        leader_watch = LeaderWatch(_COMPARED_LOOKS)
        take_over_watch = TakeOverWatch(max(TAKE_OVER_S, 2 * statement_s))
        while is_wanted():
            health.looked_at_s = time.monotonic()
            self._check_membership()
            await self._check_aside()
            look = await self._look(health)
            health.held = self._dead_letters.is_held
            health.stuck = watch.stuck(look)
            self._measure(look, health)
            self._check_cut(look)
            await self._check_leaders(look, leader_watch)
            if health.stuck:
                log.error("progress.stuck", partitions=health.stuck)
            health.left_out = assignment_watch.is_left_out(look)
            if health.left_out:
                log.error("membership.left_out", unowned_s=UNOWNED_S, advice=_ADVICE)
            health.hangs = take_over_watch.hangs(look)
            if health.hangs:
                log.error("take_over.hangs", advice=_HANGS)
            await asyncio.sleep(_INTERVAL_S)

    def _check_membership(self) -> None:
        """End the process where it cannot own a partition again; whatever hangs in it goes too."""
        if ended_by := self._membership.ended_by():
            log.error("membership.lost", reason=str(ended_by), advice=_ADVICE)
            os._exit(1)
        if refused_by := self._membership.refused_by():
            log.error("membership.refused", reason=str(refused_by), advice=_ADVICE)

    def _check_cut(self, look: Look) -> None:
        """End the process where partitions end before what it has counted: a new start sets them
        aside. Not at the first look: a broker that begins to lead may not know the end yet.
        """
        cut = look.cut()
        self._cut_looks = self._cut_looks + 1 if cut else 0
        if cut:
            log.error("topic.cut", partitions=cut)
        if self._cut_looks >= _CUT_LOOKS:
            os._exit(1)

    async def _check_leaders(self, look: Look, watch: LeaderWatch) -> None:
        """End the process where a log had lost what was counted, and others' records are there: a
        new start sets it aside. Asked only after a change of leader, of some partitions a look.
        """
        doubtful = dict(islice(watch.doubtful(look).items(), _COMPARED_AT_ONCE))
        if not doubtful:
            return
        found = await _answer(self._topic.overwritten(doubtful))
        if found is None:
            return
        if found:
            tell_mismatches(found)
            os._exit(1)
        watch.compared(look, doubtful)

    async def _check_aside(self) -> None:
        """Look at partitions that are not what was counted from; a new start takes them back."""
        aside = dict(self._agent.aside)
        if not aside:
            return
        found = await _answer(self._topic.mismatches(aside))
        if found is None:
            return
        tell_mismatches(found)
        if agreeing := aside.keys() - found.keys():
            log.error("topic.agrees_again", partitions=sorted(agreeing))
            os._exit(1)

    async def _look(self, health: Health) -> Look:
        done = dict(self._agent.done)
        found = await self._found(done)
        epochs = {one: end.epoch for one, end in (found or {}).items() if end.epoch is not None}
        return Look(
            at_s=time.monotonic(),
            ends=None if found is None else await self._ends(done, found),
            done=done,
            clickhouse_answers=await self._clickhouse_answers(),
            is_settled=(
                health.owns and self._membership.is_wanted() and not self._dead_letters.is_held
            ),
            waits=self._agent.waits,
            steps=self._agent.steps,
            owns=health.owns and self._membership.is_given(),
            is_given=self._membership.is_given(),
            rebalances=self._membership.rebalances(),
            epochs=epochs,
        )

    async def _found(self, done: dict[int, int]) -> dict[int, End] | None:
        """Where partitions end; None while Kafka does not say."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                if not done:
                    await self._topic.number_of_partitions()
                    return {}
                return await self._topic.ends(done)
        except (KafkaError, TimeoutError):
            return None

    async def _ends(self, done: dict[int, int], found: dict[int, End]) -> dict[int, int]:
        """Up to where there is something to do."""
        ends = {number: end.offset for number, end in found.items()}
        for number, end in ends.items():
            if end > done[number] and await self._is_caught_up(number, end):
                ends[number] = done[number]
        return ends

    async def _is_caught_up(self, number: int, end: int) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._membership.is_caught_up(number, end)
        except (KafkaError, TimeoutError):
            # Taken from us a moment ago, or Faust's own thread stands still.
            return False

    async def _clickhouse_answers(self) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._client.query(PING)
        except (Error, OSError, TimeoutError):
            return False
        return True

    def _measure(self, look: Look, health: Health) -> None:
        PARTITIONS_STUCK.set(len(health.stuck))
        PARTITIONS_MISMATCHED.set(len(health.aside))
        SERVER_ANSWERS.labels("kafka").set(look.ends is not None)
        SERVER_ANSWERS.labels("clickhouse").set(look.clickhouse_answers)
        if look.ends is None:
            return  # what was known last stands
        for number, end in look.ends.items():
            LAG_RECORDS.labels(number).set(max(0, end - look.done[number]))
        for number in self._told - look.ends.keys():  # they have gone elsewhere
            LAG_RECORDS.remove(number)
        self._told = set(look.ends)


async def _answer(asking: Awaitable[dict[int, str]]) -> dict[int, str] | None:
    """Which partitions differ; None where a server does not tell: it is asked at a later look."""
    try:
        async with asyncio.timeout(_ASIDE_S):
            return await asking
    except (KafkaError, Error, TimeoutError):
        return None
