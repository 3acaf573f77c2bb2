"""The AsyncAPI document of the two topics. Pure.

The schemas come from the structs that encode and decode; the rest of a record is written out here.
"""

from typing import Any

import msgspec

from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason
from libs.events.record_index import ENTRY_BYTES, HEADER
from libs.events.window import FIRST_APPENDED
from libs.telemetry.tracing import TRACEPARENT

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_NDJSON = "application/x-ndjson"
_KAFKA_BINDING = "0.5.0"

_LINE_EXAMPLE: Json = {
    "type": "chat.message",
    "project_id": "museum",
    "is_live": True,
    "id": "evt-2f8a91",
    "occurred_at": "2026-03-25T09:30:00Z",
    "accepted_at": "2026-03-25T09:30:05Z",
    "session_id": "ses-1",
    "device_id": "lobby-kiosk",
    "country": "DE",
    "device_type": "desktop",
    "language": "en",
    "conversation_id": "con-1",
    "role": "user",
}


def portable(schema: Json) -> Json:
    r"""A schema as its standard has it: no `\Z`, whose work `$` does there, and no discriminator.

    OpenAPI alone knows a discriminator that is an object; each type tells its own `type` besides.
    """
    return {
        name: _portable_value(name, value)
        for name, value in schema.items()
        if name != "discriminator"
    }


def _portable_value(name: str, value: object) -> object:
    if isinstance(value, dict):
        return portable(value)
    if isinstance(value, list):
        return [portable(one) if isinstance(one, dict) else one for one in value]
    return value.replace(r"\Z", "$") if name == "pattern" and isinstance(value, str) else value


def document() -> Json:
    """The AsyncAPI document. The topics have the names that they have by default."""
    (line,), types = msgspec.json.schema_components((AnyEvent,), ref_template=_SCHEMAS + "{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "RAGtime topics",
            "version": "1.0.0",
            "description": "What stands in Kafka: the accepted events, and what could not be"
            " counted. Both topics are stamped with the broker's time (LogAppendTime); it orders a"
            " partition's records. The same event counts once for as long as it may be sent with an"
            " occurred_at of its own (30 days), without one for 24 hours of that time.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _NDJSON,
        "channels": {
            "events": _channel(
                "events",
                "record",
                "The accepted events. An event lies in the partition crc32(key) mod partitions of"
                " the key `project_id:conversation_id`, or `project_id:session_id` for session"
                " events; the record itself has no key.",
            ),
            "deadLetters": _channel(
                "events.dead-letter",
                "deadLetter",
                "What is no valid event, as it was. One partition.",
            ),
        },
        "operations": {
            "writeEvents": _operation("send", "events", "record", "Ingest writes events."),
            "countEvents": _operation("receive", "events", "record", "The processor counts them."),
            "keepDeadLetters": _operation(
                "send", "deadLetters", "deadLetter", "The processor keeps what it cannot count."
            ),
        },
        "components": {
            "messages": {"record": _record(), "deadLetter": _dead_letter()},
            "schemas": portable(types | {"Line": line}),
        },
    }


def _channel(address: str, message: str, description: str) -> Json:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {
            "kafka": {
                "topicConfiguration": {"cleanup.policy": ["delete"]},
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _operation(action: str, channel: str, message: str, summary: str) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _record() -> Json:
    return {
        "name": "record",
        "title": "A record of events",
        "contentType": _NDJSON,
        "description": "One event or many of one partition: a JSON object a line (NDJSON).",
        "headers": {
            "type": "object",
            "properties": {
                HEADER: {
                    "type": "string",
                    "format": "binary",
                    "minLength": 8 + ENTRY_BYTES,
                    "description": "Optional; only what has validated the events may write it. 8"
                    " bytes, the xxh3 of the value (big endian), then 32 bytes a line, little"
                    " endian: the identity of the event, as in the column `identity` of the"
                    " table; the lower 96 bits of its conversation, as in the column"
                    " `conversation` (0 unless the line is a chat.message); and `occurred_at` in"
                    " seconds since 1970. A record without it, or with one of another value, is"
                    " decoded line by line. Decisions 0008 and 0023 say why.",
                },
                FIRST_APPENDED: {
                    "type": "string",
                    "pattern": "^[0-9]{1,15}$",
                    "description": "Optional; of a record that `ragtime topics adopt` carried over"
                    " from another topic: when Kafka took it there, in milliseconds since 1970. An"
                    " event may have occurred as long before that as before its append otherwise.",
                },
                TRACEPARENT: {
                    "type": "string",
                    "description": "Optional; W3C's trace context of the span that sent the"
                    " record. The batch that counts it has a link to that span.",
                },
            },
        },
        "payload": {
            "type": "array",
            "items": {"$ref": f"{_SCHEMAS}Line"},
            "minItems": 1,
            "description": "The lines, an element each. There are no brackets and no commas.",
        },
        "examples": [{"name": "oneLine", "payload": [_LINE_EXAMPLE]}],
    }


def _dead_letter() -> Json:
    place = {"type": "string", "pattern": "^[0-9]+$"}
    return {
        "name": "deadLetter",
        "title": "A dead letter",
        "contentType": "application/octet-stream",
        "description": "The line as it was, or the record where it holds no line.",
        "headers": {
            "type": "object",
            "required": ["topic", "partition", "offset", "reason", "detail"],
            "properties": {
                "topic": {"type": "string", "description": "Where it was read."},
                "partition": place,
                "offset": place,
                "line": place | {"description": "From 0; absent for a whole record."},
                "reason": {"enum": [reason.value for reason in DeadLetterReason]},
                "detail": {"type": "string", "maxLength": 500, "description": "For people."},
            },
        },
        "payload": {"type": "string", "format": "binary"},
        "examples": [
            {
                "name": "noJson",
                "headers": {
                    "topic": "events",
                    "partition": "3",
                    "offset": "1041",
                    "line": "0",
                    "reason": DeadLetterReason.NOT_JSON.value,
                    "detail": "JSON is malformed: invalid character (byte 0)",
                },
                "payload": "no JSON at all",
            }
        ],
    }
