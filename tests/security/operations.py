"""Every operation that the OpenAPI documents name, and how to ask for it.

The tests of this folder are made over this list: an operation that is added to a document is
attacked without a word here. `test_inventory` sees to it that no route is missing in a document.
"""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deploy.documents import documents
from tests.e2e.stack import Stack

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True)
class Operation:
    """One method of one path of a service, as its document describes it."""

    service: str
    method: str
    path: str
    described: dict[str, Any]
    components: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def scope(self) -> str:
        """What a key needs."""
        (security,) = self.described["security"]
        (scope,) = security["apiKey"]
        return str(scope)

    @property
    def body(self) -> Any:
        """The first example of the body, or None where there is none."""
        if "requestBody" not in self.described:
            return None
        examples = self.described["requestBody"]["content"]["application/json"]["examples"]
        return next(iter(examples.values()))["value"]

    def parameters(self, place: str) -> list[str]:
        """The names of the parameters in the query, in headers or in the path."""
        return [one["name"] for one in self.described["parameters"] if one["in"] == place]

    def ask(
        self,
        stack: Stack,
        project_id: str,
        key: str | None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
    ) -> httpx.Response:
        """The answer to a request that is right but for what a test makes of it."""
        path = self.path.replace("{projectId}", httpx.QueryParams({"p": project_id})["p"])
        shown = {} if key is None else {"Authorization": f"Bearer {key}"}
        return stack.http.request(
            self.method.upper(),
            httpx.URL(stack.services[self.service].url).copy_with(path=path),
            params=query or {},
            json=self.body if body is None else body,
            headers=shown | (headers or {}),
        )


def operations() -> list[Operation]:
    """All of them, of all services."""
    return [
        Operation(name.removesuffix(".openapi.json"), method, path, described, whole["components"])
        for name, whole in documents().items()
        if name.endswith(".openapi.json")
        for path, methods in whole["paths"].items()
        for method, described in methods.items()
        if method in _METHODS
    ]


def other_methods(path: str) -> list[str]:
    """The methods that no document names for a path; OPTIONS and HEAD are HTTP's own matter."""
    taken = {one.method for one in operations() if one.path == path}
    return [method for method in _METHODS if method not in taken | {"options", "head"}]


OPERATIONS = operations()
# For tests with a parameter `operation`: all, those that bring a body, those with parameters.
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
each_writing = pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.body is not None], ids=str
)
each_reading = pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if one.parameters("query")], ids=str
)
