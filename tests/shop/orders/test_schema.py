"""The API against its own OpenAPI schema: Schemathesis makes up requests, good and bad, for every operation."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from orders import demo
from tests.shop.conftest import Shop

# As the API serves it; it needs no database. Requests go straight into the application.
schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())


@pytest.fixture
def token(lasting_shop: Shop) -> str:
    """Of one customer for all requests. Committed: each request is a request of its own, as over HTTP."""
    return demo.token(customer=lasting_shop.customer)


@schema.parametrize()
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: schemathesis.Case[Any], token: str) -> None:
    case.call_and_validate(
        headers={"Authorization": f"Token {token}"},
        excluded_checks=[
            # An order for a SKU that is not on the menu fits the schema, and is refused with reason.
            positive_data_acceptance,
        ],
    )
