"""The tenants of these tests."""

import pytest

from tests.e2e.stack import Stack
from tests.security.tenants import Tenants, make_tenants


@pytest.fixture(scope="session")
def tenants(stack: Stack) -> Tenants:
    """Two tenants for all these tests."""
    return make_tenants(stack)
