"""API1:2023, broken object level authorization: A asks for what is B's, wherever one can say so."""

import pytest

from tests.e2e.asking import assert_problem
from tests.e2e.stack import Project, Stack
from tests.security.operations import Operation, each_operation, each_writing
from tests.security.tenants import Tenants

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("no_traces")]

# How a project might be named beside the path, by somebody who hopes.
_NAMES = ("projectId", "project_id", "project", "tenant")
_HEADERS = ("X-Project-Id", "X-Tenant-Id", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix")


def _events_of(stack: Stack, project: Project) -> int:
    stack.wait_until_counted()
    rows = stack.database.query(
        "SELECT count() FROM events WHERE project_id = {id:String}", {"id": project.id}
    ).result_rows
    return int(rows[0][0])


@each_operation
def test_other_tenant_is_refused_like_an_unknown_one_when_the_path_names_it(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    before = _events_of(stack, tenants.b)
    for key in (tenants.a.live_key, tenants.a.test_key):
        foreign = operation.ask(stack, tenants.b.id, key)
        unknown = operation.ask(stack, "nobody-has-this", key)
        assert_problem(foreign, 403, "forbidden")
        assert_problem(unknown, 403, "forbidden")
        told = [{**one.json(), "requestId": None} for one in (foreign, unknown)]
        assert told[0] == told[1]
    assert _events_of(stack, tenants.b) == before


@pytest.mark.parametrize(
    "path",
    ["{a}/../{b}", "{a}%2f..%2f{b}", "{b}%00", "{b}%20", "{b}/", "{b};{a}", "{a},{b}", "%2e"],
)
@each_operation
def test_other_tenant_is_refused_when_the_path_is_bent(
    stack: Stack, tenants: Tenants, operation: Operation, path: str
) -> None:
    before = _events_of(stack, tenants.b)
    bent = path.replace("{a}", tenants.a.id).replace("{b}", tenants.b.id)
    raw = operation.path.replace("{projectId}", bent).encode()
    url = stack.services[operation.service].url
    response = stack.http.request(
        operation.method.upper(),
        url,
        extensions={"target": raw},
        json=operation.body,
        headers={"Authorization": f"Bearer {tenants.a.live_key}"},
    )
    assert response.status_code in (403, 404), response.text
    assert _events_of(stack, tenants.b) == before


@each_operation
def test_other_tenant_is_not_touched_when_query_or_header_name_it(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    before = _events_of(stack, tenants.b)
    plain = operation.ask(stack, tenants.a.id, tenants.a.live_key)
    for name in _NAMES:
        named = operation.ask(stack, tenants.a.id, tenants.a.live_key, query={name: tenants.b.id})
        assert (named.status_code, named.json()) == (plain.status_code, plain.json())
    for name in _HEADERS:
        url = operation.path.replace("{projectId}", tenants.b.id)
        value = url if name.endswith("URL") else tenants.b.id
        named = operation.ask(stack, tenants.a.id, tenants.a.live_key, headers={name: value})
        assert (named.status_code, named.json()) == (plain.status_code, plain.json())
    assert tenants.b.id not in plain.text
    assert _events_of(stack, tenants.b) == before


@each_writing
def test_event_is_the_callers_when_its_body_names_another_tenant(
    stack: Stack, tenants: Tenants, operation: Operation
) -> None:
    before = _events_of(stack, tenants.b)
    body = dict.fromkeys(_NAMES, tenants.b.id) | operation.body | {"id": "names-another"}
    assert operation.ask(stack, tenants.a.id, tenants.a.live_key, body=body).is_success
    assert _events_of(stack, tenants.b) == before
    owner = "SELECT project_id FROM events WHERE id = 'names-another'"
    assert stack.database.query(owner).result_rows == [(tenants.a.id,)]
