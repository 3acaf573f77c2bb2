"""The tenants of these tests, and the rule that no attack leaves a trace in a log."""

import pytest

from tests.e2e.stack import Stack
from tests.security.tenants import Tenants, make_tenants


@pytest.fixture(scope="session")
def tenants(stack: Stack) -> Tenants:
    """Two tenants for all these tests."""
    return make_tenants(stack)
