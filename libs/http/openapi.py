"""Pieces of the OpenAPI documents, which are written by hand: problems, their headers, the route.

A framework that derives the document from its own checks would answer 422 and in its own words.
"""

from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from libs.http.problems import title_of
from libs.http.refusals import EARLY

Json = dict[str, Any]

REQUEST_ID_EXAMPLE = "0f8fad5bd9cb469fa16570867728950e"

REFERENCE = "#/components/schemas/{name}"

ANSWER_HEADERS: Json = {
    "X-Request-Id": {
        "description": "Yours, if you sent one of this form, else a new one. Leads to the log.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Cache-Control": {
        "description": "Answers belong to the key that asked: nobody keeps them.",
        "required": True,
        "schema": {"type": "string", "const": "private, no-store"},
    },
    "X-Content-Type-Options": {
        "description": "A body is what its type says.",
        "required": True,
        "schema": {"type": "string", "const": "nosniff"},
    },
}
PROJECT_ID: Json = {
    "name": "projectId",
    "in": "path",
    "required": True,
    "description": "The project that the key belongs to.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "pattern": "^[A-Za-z0-9_.-]+$",
    },
    "example": "proj-uuid-...",
}
RETRY_AFTER: Json = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
CHALLENGE: Json = {
    "WWW-Authenticate": {
        "description": "How to show a key.",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    }
}

# What is answered by status before a key, and often before a path, is looked at.
EARLY_PROBLEMS: dict[str, dict[str, str]] = {
    str(status): {one.code: one.detail for one in EARLY if one.status == status}
    for status in (400, 408, 414, 431, 503)
}


def add_openapi(app: FastAPI, document: Json) -> None:
    """Serve the document at /openapi.json, encoded once."""
    body = msgspec.json.encode(document)

    async def openapi(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    app.add_route("/openapi.json", openapi, methods=["GET"], include_in_schema=False)


def shared_problems(headers: Json) -> Json:
    """What any operation may answer, by status. `headers`: those of an answer behind the key."""
    return {
        "404": problem_response(404, {"not_found": "There is nothing at this path."}, {}),
        "408": problem_response(408, EARLY_PROBLEMS["408"], {}),
        "414": problem_response(414, EARLY_PROBLEMS["414"], {}),
        "431": problem_response(431, EARLY_PROBLEMS["431"], {}),
        "500": problem_response(
            500, {"internal_error": "Something went wrong on our side."}, headers
        ),
    }


def problem_response(status: int, examples: dict[str, str], headers: Json) -> Json:
    """A response that is a problem; `examples`: the details by code."""
    title = title_of(status)
    return {
        "description": title,
        "headers": ANSWER_HEADERS | headers,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": REFERENCE.format(name="ProblemBody")},
                "examples": {
                    code: {
                        "value": {
                            "type": "about:blank",
                            "title": title,
                            "status": status,
                            "code": code,
                            "detail": detail,
                            "requestId": REQUEST_ID_EXAMPLE,
                        }
                    }
                    for code, detail in examples.items()
                },
            }
        },
    }
