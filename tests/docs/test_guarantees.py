"""The tables of the guarantees are those of the code."""

from __future__ import annotations

import pytest

from orders.sagas import PlaceOrder
from sagas.states import CARRIERS
from sagas.testing.matrix.cases import cases
from tests.docs import matrix_table


def test_the_fault_matrix_in_the_paper_is_that_of_the_code() -> None:
    """That it ends like that is played by ``test_unwinding``, each case of it."""
    assert matrix_table.written() == matrix_table.render(), "make guarantees"


@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_fault_matrix_is_the_same_for_both_carriers(carrier: str) -> None:
    both = {(case.step, case.operation, case.fault_id): case.expected for case in cases(PlaceOrder)}
    own = {(case.step, case.operation, case.fault_id): case.expected for case in cases(PlaceOrder, carriers=[carrier])}
    assert own == both
