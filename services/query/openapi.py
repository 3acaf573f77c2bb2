"""The OpenAPI document: the contract of the endpoint, word for word, with examples. Pure.

Written out, not derived from the route: the route reads its parameters itself, because a framework
that checks them would answer 422 and in its own words. Tests hold it against real answers.
"""

import msgspec

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
from services.query.answers import Answer
from services.query.questions import ALL, MAX_DEVICE_ID_LENGTH, Category

_, _SCHEMAS = msgspec.json.schema_components((Answer, ProblemBody), ref_template=REFERENCE)

ANSWER_EXAMPLE: Json = {
    "projectId": "proj-uuid-...",
    "range": {"from": "2026-03-01", "to": "2026-03-25"},
    "category": "usage",
    "liveOnly": True,
    "stats": [
        {
            "date": "2026-03-25",
            "category": "usage",
            "key": "public",
            "value": 142,
            "isLive": True,
        },
        {
            "date": "2026-03-25",
            "category": "usage",
            "key": "logged_in",
            "value": 38,
            "isLive": True,
        },
        {
            "date": "2026-03-24",
            "category": "usage",
            "key": "public",
            "value": 129,
            "isLive": True,
        },
    ],
    "sources": [],
}


def _header(description: str, minimum: int) -> Json:
    return {
        "description": description,
        "required": True,
        "schema": {"type": "integer", "minimum": minimum},
    }


_RATE_LIMIT_HEADERS: Json = {
    "X-RateLimit-Limit": _header("Maximum requests per window.", 1),
    "X-RateLimit-Remaining": _header("Remaining requests in current window.", 0),
    "X-RateLimit-Reset": _header("Unix timestamp when the window resets.", 1),
}


# Whose limit it is, nobody knows before the key is looked at.
_HEADERS_IF_KNOWN: Json = {
    name: header
    | {
        "required": False,
        "description": f"{header['description']} Absent where the request was refused before"
        " its key was looked at.",
    }
    for name, header in _RATE_LIMIT_HEADERS.items()
}


def _problem(status: int, examples: dict[str, str], headers: Json | None = None) -> Json:
    early = EARLY_PROBLEMS.get(str(status), {})
    limit = _HEADERS_IF_KNOWN if early else _RATE_LIMIT_HEADERS
    return problem_response(status, examples | early, limit | (headers or {}))


def _query(name: str, description: str, schema: Json, example: Json) -> Json:
    """A parameter. With an empty value it counts as absent: many tools send all they have."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "allowEmptyValue": True,
        "description": description,
        "schema": schema,
        **example,
    }


_DATE: Json = {"type": "string", "format": "date"}
_PARAMETERS: list[Json] = [
    PROJECT_ID,
    _query(
        "from", "First day (UTC). Default: 30 days before `to`.", _DATE, {"example": "2026-03-01"}
    ),
    _query("to", "Last day (UTC), inclusive. Default: today.", _DATE, {"example": "2026-03-25"}),
    _query(
        "category",
        "Filter to a single category.",
        {"type": "string", "enum": [*(one.value for one in Category), ALL], "default": ALL},
        {"example": "usage"},
    ),
    _query(
        "live",
        "`true`: only live rows. `false`: live and test rows, told apart by `isLive`. In any"
        " letter case.",
        {"type": "boolean", "default": True},
        {"example": True},
    ),
    _query(
        "deviceId",
        "Filter to one device or kiosk by its slug; the stats then come from the raw events.",
        {"type": "string", "minLength": 1, "maxLength": MAX_DEVICE_ID_LENGTH},
        {"examples": {"kiosk": {"value": "lobby-kiosk"}}},
    ),
]

_RESPONSES: Json = {
    **shared_problems(_RATE_LIMIT_HEADERS),
    "200": {
        "description": "The stats: by date descending, category, value descending, key.",
        "headers": ANSWER_HEADERS | _RATE_LIMIT_HEADERS,
        "content": {
            "application/json": {
                "schema": {"$ref": REFERENCE.format(name="Answer")},
                "example": ANSWER_EXAMPLE,
            }
        },
    },
    "400": _problem(
        400,
        {
            "invalid_date": "from must be a real date written YYYY-MM-DD.",
            "invalid_range": "from (2026-03-25) must not be after to (2026-03-01).",
            "unknown_parameter": "There is no parameter 'device_id'; it is written deviceId.",
            "days_not_kept": "Answers for one device are made from raw events, which are kept from"
            " 2025-10-23 on; ask for no day before.",
            "answer_too_large": "The answer is too large; ask for fewer days, or one category.",
            "unknown_category": f"category must be one of {', '.join(Category)}.",
            "invalid_live": "live must be true or false.",
            "invalid_device_id": f"deviceId must have 1 to {MAX_DEVICE_ID_LENGTH} characters.",
            "repeated_parameter": "from must be given at most once.",
        },
    ),
    "401": _problem(
        401,
        {
            "missing_key": "The request needs the header `Authorization: Bearer <API key>`.",
            "invalid_key": "The API key is not valid.",
        },
        CHALLENGE,
    ),
    "403": _problem(
        403,
        {"forbidden": "The key needs the scope analytics:read and this project."},
    ),
    "429": _problem(
        429,
        {
            "rate_limited": "At most 30 requests a minute; come back in 42 s.",
            "too_many_under_way": TOO_MANY_UNDER_WAY,
        },
        RETRY_AFTER,
    ),
    "503": _problem(
        503,
        {
            "unavailable": "The analytics cannot be read at the moment; try again.",
            "overloaded": OVERLOADED,
        },
        RETRY_AFTER,
    ),
}


def document(path: str) -> Json:
    """The OpenAPI document of the service, with its one endpoint at `path`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "RAGtime analytics",
            "version": "1.0.0",
            "description": "Pre-aggregated daily analytics of your assistant.",
        },
        "paths": {
            path: {
                "get": {
                    "operationId": "readAnalytics",
                    "summary": "Daily analytics of a project",
                    "security": [{"apiKey": [Scope.ANALYTICS_READ.value]}],
                    "parameters": _PARAMETERS,
                    "responses": _RESPONSES,
                }
            }
        },
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key with the scope analytics:read: rt_live_…",
                }
            },
        },
    }
