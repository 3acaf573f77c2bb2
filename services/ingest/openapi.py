"""The OpenAPI document: the contract of the one route, with examples. Pure.

The schemas of events come from the structs that decode them; tests hold the rest against answers.
"""

from libs.access.api_keys import Scope
from libs.http.budget import OVERLOADED
from libs.http.connections import TOO_MANY_UNDER_WAY
from libs.http.openapi import (
    ANSWER_HEADERS,
    CHALLENGE,
    EARLY_PROBLEMS,
    PROJECT_ID,
    REFERENCE,
    RETRY_AFTER,
    Json,
    problem_response,
    shared_problems,
)
from libs.http.problems import ProblemBody
from services.ingest.answers import NoValidEvent, Verdicts
from services.ingest.publisher import NOT_WRITTEN_IN_TIME
from services.ingest.schemas import event_schema

# Without `occurredAt`: an example must be taken whenever somebody sends it.
_MESSAGE_EXAMPLE: Json = {
    "id": "evt-2f8a91",
    "type": "chat.message",
    "sessionId": "ses-1",
    "conversationId": "con-1",
    "userType": "public",
    "deviceId": "lobby-kiosk",
    "language": "en-GB",
    "role": "user",
}
_RETRIEVAL_EXAMPLE: Json = {
    "id": "evt-2f8a92",
    "type": "rag.retrieval",
    "sessionId": "ses-1",
    "conversationId": "con-1",
    "hit": True,
    "sources": [{"id": "src-1", "name": "Visitor guide"}],
}
_VERDICTS_EXAMPLE: Json = {
    "accepted": 2,
    "rejected": [
        {
            "index": 2,
            "code": "missing_field",
            "message": "`sessionId` is missing: it must be a string of 1 to 128 characters",
        }
    ],
}

_PARAMETERS: list[Json] = [
    PROJECT_ID,
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Makes the ids of events that have none from this key and their bytes, so"
        " that the same request may be sent again.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            # No blank at either end: HTTP does not count those to a header's value.
            "pattern": "^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$",
        },
        "example": "import-2026-03-25-page-7",
    },
    {
        "name": "Content-Encoding",
        "in": "header",
        "required": False,
        "description": "How the body is compressed; empty like `identity`. In any letter case.",
        "schema": {"type": "string", "enum": ["identity", "gzip", "x-gzip", "zstd", ""]},
        "example": "identity",
    },
]

_EVENT: Json = {"$ref": REFERENCE.format(name="Event")}
# Each element has a verdict of its own: one valid event is enough for a 202.
_EVENTS: Json = {
    "type": "array",
    "items": {
        "anyOf": [
            _EVENT,
            {"description": "Anything else is refused by itself, and named in `rejected`."},
        ]
    },
    "contains": _EVENT,
    "minItems": 1,
    "maxItems": 10_000,
}


def _header(description: str, minimum: int, *, required: bool) -> Json:
    return {
        "description": description,
        "required": required,
        "schema": {"type": "integer", "minimum": minimum},
    }


def _limit(*, required: bool) -> Json:
    """The headers of a limit: that of the key's events, or of the address without a valid key."""
    absent = "" if required else " Absent where there is no limit, or none was looked at."
    return {
        "X-RateLimit-Limit": _header(
            f"Events a minute that the key may write; of a 429 what the limit that refused allows."
            f"{absent}",
            1,
            required=required,
        ),
        "X-RateLimit-Remaining": _header(f"What is left of it.{absent}", 0, required=required),
        "X-RateLimit-Reset": _header(
            f"Unix timestamp when the window resets.{absent}", 1, required=required
        ),
    }


_LIMIT_IF_ANY = _limit(required=False)

_RESPONSES: Json = {
    **shared_problems({}),
    "202": {
        "description": "Kafka has acknowledged the accepted events on all in-sync replicas.",
        "headers": ANSWER_HEADERS | _LIMIT_IF_ANY,
        "content": {
            "application/json": {
                "schema": {"$ref": REFERENCE.format(name="Verdicts")},
                "example": _VERDICTS_EXAMPLE,
            }
        },
    },
    "401": problem_response(
        401,
        {
            "missing_key": "The request needs the header `Authorization: Bearer <API key>`.",
            "invalid_key": "The API key is not valid.",
        },
        CHALLENGE | _limit(required=True),
    ),
    "403": problem_response(
        403, {"forbidden": "The key needs the scope events:write and this project."}, {}
    ),
    "413": problem_response(
        413,
        {
            "body_too_large": "A body may have at most 5242880 bytes, before and after"
            " decompression.",
            "too_many_events": "A request may bring at most 10000 events.",
        },
        _LIMIT_IF_ANY,
    ),
    "415": problem_response(
        415,
        {
            "unsupported_media_type": "Content-Type must be application/json or"
            " application/x-ndjson.",
            "unsupported_content_encoding": "Content-Encoding must be gzip, zstd or identity.",
        },
        _LIMIT_IF_ANY,
    ),
    "429": problem_response(
        429,
        {
            "rate_limited": "At most 120000 events a minute, of which 500 are left; come back in"
            " 42 s.",
            "too_many_under_way": TOO_MANY_UNDER_WAY,
        },
        RETRY_AFTER | _limit(required=True),
    ),
    "503": problem_response(
        503,
        {
            "unavailable": NOT_WRITTEN_IN_TIME,
            "overloaded": OVERLOADED,
        }
        | EARLY_PROBLEMS["503"],
        RETRY_AFTER | _LIMIT_IF_ANY,
    ),
}


def document(path: str) -> Json:
    """The OpenAPI document of the service, with its one route at `path`."""
    event, schemas = event_schema(REFERENCE, Verdicts, NoValidEvent, ProblemBody)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "RAGtime events",
            "version": "1.0.0",
            "description": "Takes the events that your assistant's analytics are made of.",
        },
        "paths": {
            path: {
                "post": {
                    "operationId": "writeEvents",
                    "summary": "Write one event or many",
                    "security": [{"apiKey": [Scope.EVENTS_WRITE.value]}],
                    "parameters": _PARAMETERS,
                    "requestBody": _request_body(),
                    "responses": _RESPONSES | {"400": _bad_request()},
                }
            }
        },
        "components": {
            "schemas": {**schemas, "Event": event},
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key with the scope events:write: rt_live_… or"
                    " rt_test_…; a test key cannot write live events.",
                }
            },
        },
    }


def _request_body() -> Json:
    several = [_MESSAGE_EXAMPLE, _RETRIEVAL_EXAMPLE]
    # The media type says how the elements are written: a line each, no brackets, no commas.
    lines = {
        "schema": _EVENTS | {"description": "One event a line."},
        "examples": {"lines": {"summary": "Two lines", "value": several}},
    }
    return {
        "required": True,
        "description": "Any other `application/*+json` is taken like `application/json`. A byte"
        " order mark before the body is skipped.",
        "content": {
            "application/json": {
                "schema": {"oneOf": [_EVENT, _EVENTS]},
                "examples": {
                    "one": {"summary": "One event", "value": _MESSAGE_EXAMPLE},
                    "several": {"summary": "An array of events", "value": several},
                },
            },
            "application/x-ndjson": lines,
            "application/ndjson": lines,
            "application/jsonl": lines,
        },
    }


def _bad_request() -> Json:
    response = problem_response(
        400,
        {
            "invalid_json": "The body is not JSON: trailing characters (byte 7).",
            "empty_body": "The body must bring at least one event.",
            "broken_compression": "The body is not valid gzip.",
            "invalid_idempotency_key": "Idempotency-Key must be given once, with 1 to 255"
            " printable ASCII characters.",
            "no_valid_event": "Not one event of the request is valid.",
        }
        | EARLY_PROBLEMS["400"],
        _LIMIT_IF_ANY,
    )
    content = response["content"]["application/problem+json"]
    content["schema"] = {
        "anyOf": [
            {"$ref": REFERENCE.format(name="NoValidEvent")},
            {"$ref": REFERENCE.format(name="ProblemBody")},
        ]
    }
    refused = content["examples"]["no_valid_event"]["value"]
    refused["rejected"] = [_VERDICTS_EXAMPLE["rejected"][0] | {"index": 0}]
    return response
