"""API5:2023, broken function level authorization: a key does what its scopes say, and no more."""

import pytest

from libs.access.api_keys import Scope
from tests.e2e.asking import assert_problem
from tests.e2e.stack import Stack
from tests.security.operations import Operation, each_operation, other_methods
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]


@each_operation
def test_key_is_refused_when_it_lacks_the_scope_and_taken_when_it_has_another_lack(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    assert operation.scope in set(Scope)
    for lacking, key in tenants.without.items():
        response = operation.ask(stack, tenants.a.id, key)
        if lacking == operation.scope:
            assert_problem(response, 403, "forbidden")
        else:
            assert response.is_success, response.text


@each_operation
def test_method_is_refused_when_no_document_names_it(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    path = operation.path.replace("{projectId}", tenants.a.id)
    for method in other_methods(operation.path):
        response = stack.http.request(
            method.upper(),
            f"{stack.services[operation.service].url}{path}",
            headers={"Authorization": f"Bearer {tenants.a.live_key}"},
        )
        assert_problem(response, 405, "method_not_allowed")
        assert operation.method.upper() in response.headers["Allow"]


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
@each_operation
def test_method_stays_when_a_header_names_another(
    stack: Stack, tenants: Tenants, operation: Operation, header: str
) -> None:
    response = operation.ask(stack, tenants.a.id, tenants.a.live_key, headers={header: "DELETE"})
    assert response.is_success, response.text
