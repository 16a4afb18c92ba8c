"""The API against its own OpenAPI schema: Schemathesis makes up requests, good and bad, and whole sequences of them."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import Permission, User
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from orders import demo
from orders.api.protocol import throttles
from tests.shop.conftest import Shop

# As the API serves it; it needs no database. Requests go straight into the application.
schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())


@schema.hook
def map_query(_context: Any, query: Any) -> Any:
    """Send what was made up: an unknown parameter with an empty list would be in no URL, and be "accepted"."""
    return {name: "" if value in ([], {}) else value for name, value in query.items()} if query else query


#: An order for a SKU that is not on the menu fits the schema, and is refused with reason.
_EXCLUDED: list[Any] = [positive_data_acceptance]
_SUPPRESSED = list(HealthCheck)
_SHORT = settings(max_examples=8, suppress_health_check=_SUPPRESSED, deadline=None)
_LONG = settings(max_examples=500, suppress_health_check=_SUPPRESSED, deadline=None)


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each answer would be 429 after a while.
    monkeypatch.setattr(throttles, "count", lambda *_, **__: None)


@pytest.fixture
def customer(lasting_shop: Shop) -> User:
    """Who asks. They are staff, too. Committed: each request is a request of its own, as over HTTP."""
    permission = Permission.objects.get(codename="fulfil", content_type__app_label="delivery")
    lasting_shop.customer.user_permissions.add(permission)
    return lasting_shop.customer


def logged_in(customer: User) -> dict[str, str]:
    """The header of a new token: an earlier request may have revoked all others."""
    return {"Authorization": f"Token {demo.token(customer=customer)}"}


@schema.parametrize()
@_SHORT
def test_every_answer_is_as_documented(case: schemathesis.Case[Any], customer: User) -> None:
    case.call_and_validate(headers=logged_in(customer), excluded_checks=_EXCLUDED)


@schema.parametrize()
@settings(_SHORT, max_examples=3)
def test_every_answer_to_who_has_no_token_is_as_documented(case: schemathesis.Case[Any], database: None) -> None:
    case.call_and_validate(excluded_checks=_EXCLUDED)


@pytest.mark.slow
@schema.parametrize()
@_LONG
def test_very_many_answers_are_as_documented(case: schemathesis.Case[Any], customer: User) -> None:
    case.call_and_validate(headers=logged_in(customer), excluded_checks=_EXCLUDED)


@pytest.mark.slow
@schema.parametrize()
@settings(_LONG, max_examples=100)
def test_very_many_answers_without_a_token_are_as_documented(case: schemathesis.Case[Any], database: None) -> None:
    case.call_and_validate(excluded_checks=_EXCLUDED)


def follow_links(shop: Shop, *, sequences: int, steps: int) -> None:
    """Walk from answer to answer by the schema's links: an order that was placed is read, cancelled, streamed."""
    placed: list[int] = []
    machine = schema.as_state_machine()

    class Walk(machine):  # type: ignore[misc, valid-type]  # made from the schema
        """A customer's requests, of which orders are for what there is."""

        def before_call(self, case: schemathesis.Case[Any]) -> None:
            if case.operation.definition.raw["operationId"] == "place_order" and isinstance(case.body, dict):
                case.body = shop.body()

        def after_call(self, response: Any, case: schemathesis.Case[Any]) -> None:
            if case.operation.definition.raw["operationId"] == "place_order":
                placed.append(response.status_code)

        def get_call_kwargs(self, _case: schemathesis.Case[Any]) -> dict[str, Any]:
            return {"headers": logged_in(shop.customer)}

        def validate_response(self, response: Any, case: schemathesis.Case[Any], **_: Any) -> None:
            excluded = [*_EXCLUDED, ignored_auth]
            if case.operation.definition.raw["operationId"] == "place_order":
                # What may have been made up as invalid was put right above, and is accepted.
                excluded.append(negative_data_rejection)
            if response.status_code == 503:
                # Documented: this server cannot defer the answer that a stream is.
                excluded.append(not_a_server_error)
            case.validate_response(response, excluded_checks=excluded)

    bounds = settings(_SHORT, max_examples=sequences, stateful_step_count=steps, phases=[Phase.generate])
    run_state_machine_as_test(Walk, settings=bounds)
    assert {200, 202} & set(placed)


def test_sequences_of_requests_are_answered_as_documented(lasting_shop: Shop, customer: User) -> None:
    follow_links(lasting_shop, sequences=5, steps=10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_very_many_sequences_of_requests_are_answered_as_documented(lasting_shop: Shop, customer: User) -> None:
    follow_links(lasting_shop, sequences=100, steps=20)
