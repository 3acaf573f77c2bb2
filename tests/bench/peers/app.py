"""The afternoon's version of ingest: parse, pack a request's events by partition, send, answer.

The same server, parser, loop and producer settings; `orjson` for the JSON. No keys, no rules, no
defaults, no size limits, no metrics: what it costs is what the work costs at the very least. As it
knows nothing of other requests, its records hold the events of one request for one partition.
"""

import argparse
import asyncio
from collections import defaultdict
from typing import Any
from zlib import crc32

import orjson
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from libs.settings import KafkaSettings
from services.ingest.publisher import Producer, kafka_producer
from services.ingest.settings import PublishSettings

_JSON = [(b"content-type", b"application/json")]


class App:
    """ASGI: 202 to every POST once Kafka has acknowledged it, 200 to everything else."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer: Producer
        self._partitions = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "POST":
            accepted = await self._take(await _body_of(receive))
            await _answer(send, 202, orjson.dumps({"accepted": accepted}))
        else:
            await _answer(send, 200, b"{}")

    async def _take(self, body: bytes) -> int:
        events = orjson.loads(body)
        if isinstance(events, dict):
            events = [events]
        lines: defaultdict[int, list[bytes]] = defaultdict(list)
        for event in events:
            lines[_partition_of(event, self._partitions)].append(orjson.dumps(event))
        topic = self._kafka.events_topic
        sent = [
            await self._producer.send(topic, b"\n".join(some), partition=partition)
            for partition, some in lines.items()
        ]
        await asyncio.gather(*sent)
        return len(events)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        # Inside the running loop: aiokafka wants it so.
        self._producer = kafka_producer(self._kafka, PublishSettings())
        await self._producer.start()
        self._partitions = len(await self._producer.partitions_for(self._kafka.events_topic))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._producer.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _partition_of(event: dict[str, Any], partitions: int) -> int:
    key: str = event.get("conversationId") or event.get("conversation_id") or ""
    key = key or event.get("sessionId") or event["session_id"]
    return crc32(key.encode()) % partitions


async def _body_of(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            return body


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [*_JSON, (b"content-length", str(len(body)).encode())]
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    kafka = KafkaSettings(bootstrap_servers=arguments.kafka, events_topic=arguments.topic)
    uvicorn.run(
        App(kafka),
        host="127.0.0.1",
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
