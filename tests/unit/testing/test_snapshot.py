"""What decides whether two snapshots of the project's tables differ."""

from __future__ import annotations

from sagas.testing.matrix.snapshot import ALL, altered_rows, columns_of, differences, remnants

ORDER = {"id": 1, "status": "RECEIVED"}
REJECTED = {"id": 1, "status": "REJECTED"}
LINE = {"id": 7, "sku": "TEA"}


def test_names_of_columns_and_tables_are_parsed() -> None:
    assert columns_of(["shop_order.status", "shop_order.id", "shop_line"]) == {
        "shop_order": {"status", "id"},
        "shop_line": {ALL},
    }


def test_a_whole_table_is_not_compared() -> None:
    assert differences({"t": [LINE]}, {"t": []}, {"t": {"id"}}) == ['t: missing row {"sku": "TEA"}']
    assert differences({"t": [LINE]}, {"t": []}, {"t": {ALL}}) == []


def test_rows_that_a_failed_run_leaves_are_described() -> None:
    # Given
    before, after = {"order": [ORDER]}, {"order": [REJECTED], "line": [LINE]}

    # Then
    assert remnants(before, after, {}, []) == [
        'line: unexpected row {"id": 7, "sku": "TEA"}',
        'order: missing row {"id": 1, "status": "RECEIVED"}',
        'order: unexpected row {"id": 1, "status": "REJECTED"}',
    ]
    assert remnants(before, after, {}, ["line", "order.status"]) == []
    assert remnants(before, {"order": [REJECTED]}, {"order": {"status"}}, []) == []


def test_rows_may_be_left_and_none_may_be_lost() -> None:
    assert remnants({"order": [ORDER]}, {"order": []}, {}, ["order"]) == [
        'order: missing row {"id": 1, "status": "RECEIVED"}'
    ]


def test_earlier_rows_are_compared_in_all_columns() -> None:
    # Given a column that differs from one run to the next, so that it is ignored
    before = {"order": [ORDER]}
    wanted = {"order": [ORDER, {"id": 2, "status": "PLACED"}]}
    found = {"order": [{"id": 1, "status": "SPOILED"}, {"id": 2, "status": "OTHER"}]}
    ignored = {"order": {"status"}}

    # Then
    assert differences(wanted, found, ignored) == []
    assert altered_rows(before, wanted, found, ignored) == [
        'order: changed or deleted row {"id": 1, "status": "RECEIVED"}'
    ]
    assert altered_rows(before, wanted, found, {"order": {ALL}}) == []
    assert altered_rows(before, {"order": [REJECTED]}, found, ignored) == []
