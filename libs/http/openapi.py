"""Pieces of the OpenAPI documents, which are written by hand: problems, their headers, the route.

A framework that derives the document from its own checks would answer 422 and in its own words.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

Json = dict[str, Any]

REQUEST_ID_EXAMPLE = "0f8fad5bd9cb469fa16570867728950e"

REFERENCE = "#/components/schemas/{name}"

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


def add_openapi(app: FastAPI, document: Json) -> None:
    """Serve the document at /openapi.json, encoded once."""
    body = msgspec.json.encode(document)

    async def openapi(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    app.add_route("/openapi.json", openapi, methods=["GET"], include_in_schema=False)


def problem_response(status: int, examples: dict[str, str], headers: Json) -> Json:
    """A response that is a problem; `examples`: the details by code."""
    title = HTTPStatus(status).phrase
    return {
        "description": title,
        "headers": headers,
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
