"""The benchmark's arithmetic, and what it writes. That it measures at all takes minutes: ``make bench``."""

from __future__ import annotations

import json
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import client, cpu, paper, plots, report, suite
from bench.measured import Rate, Throughput
from bench.measures import MEASURES, compensating, door, hot, peers, saturation
from bench.peers import PEERS
from bench.results import TARGETS, Curve, Found, Sheet, percentile


def rate(per_s: float, milliseconds: float) -> Rate:
    return Rate(per_s, {"workers": milliseconds, "total": milliseconds})


def orders(forward: float, finish: float, milliseconds: float = 1.0) -> Throughput:
    whole = 1 / (1 / forward + 1 / finish)
    cost = {"workers": milliseconds, "total": milliseconds}
    return Throughput(forward, finish, whole, 0.1, 0.05, forward_cpu={"total": milliseconds / 2}, whole_cpu=cost)


def result(found: Found, name: str = "saturation") -> dict[str, Any]:
    """What the suite writes when one measure has found this."""
    written: dict[str, Any] = {"began_at": "now", "quick": False, "ratios": {}, "missing": {}, "measures": {}}
    suite.merge(written, name, {**asdict(found), "seconds": 1.0, "settings": {"cpus": 2}})
    return written


def test_a_round_on_a_busy_machine_does_not_distort_the_ratios() -> None:
    # Given
    bare = {
        "prefetch_16": [rate(200, 8), rate(20, 8.1), rate(190, 7.9)],
        "solo_classic": [rate(400, 4), rate(50, 4), rate(390, 4)],
    }
    taken = {
        "distinct": [orders(3900, 3900), orders(4000, 4000), orders(800, 800)],
        "hot": [orders(700, 700), orders(3600, 3600), orders(3500, 3500)],
    }

    # When
    found = saturation.ratios(bare, taken)

    # Then
    assert found["orders_vs_bare_chain"] == pytest.approx(10)
    assert found["orders_to_awaiting_vs_bare_chain"] == pytest.approx(20)
    assert found["orders_to_awaiting_vs_best_bare_chain"] == pytest.approx(10)
    assert found["orders_vs_bare_chain_by_cpu"] == pytest.approx(8)
    assert found["orders_to_awaiting_vs_best_bare_chain_by_cpu"] == pytest.approx(8)
    assert found["hot_vs_distinct"] == pytest.approx(0.9)


def test_what_this_version_cannot_do_is_named_and_gets_no_figure() -> None:
    bare = {"prefetch_16": [rate(200, 8)]}
    taken = {"distinct": [orders(4000, 4000)], "hot": [orders(3600, 3600)]}

    found = saturation.summary(bare, taken)

    assert "compressed_vs_bare_chain" not in found.ratios
    assert found.missing["compressed_vs_bare_chain"].startswith("not measured: ")


def test_cancelled_orders_are_compared_with_none() -> None:
    found = compensating.summary({0.0: [orders(4000, 4000)], 0.1: [orders(4000, 2000)]})

    assert found.ratios["compensating_10_vs_0"] == pytest.approx(2 / 3)


def test_orders_of_each_kind_are_compared_with_the_best_way_of_using_an_engine() -> None:
    # Given
    taken = {peer.name: peers.Taken([], [], "no network") for peer in PEERS}
    taken["dbos_queue"] = peers.Taken([rate(40, 30)], [50.0, 60.0])
    taken["dbos_threads"] = peers.Taken([rate(50, 20)], [40.0, 45.0])

    # When
    found = peers.summary(
        taken,
        {"orders": [orders(4000, 4000)], "no_broker": [orders(5000, 4000)], "compressed": [orders(6000, 4000)]},
    )

    # Then
    assert found.ratios["orders_vs_dbos"] == pytest.approx(80)
    assert found.ratios["no_broker_vs_dbos"] == pytest.approx(100)
    assert found.ratios["no_broker_vs_dbos_by_cpu"] == pytest.approx(40)
    assert found.missing["orders_vs_naive"] == "not measured: no network"


def test_orders_of_one_sku_are_compared_with_the_best_round_under_a_lock() -> None:
    found = hot.beside_lock([rate(200, 4), rate(250, 5), rate(20, 6)], [orders(4000, 4000, 1.0), orders(300, 300, 1.0)])

    assert found.ratios["hot_vs_lock"] == pytest.approx(8)
    assert found.ratios["hot_vs_lock_by_cpu"] == pytest.approx(5)
    assert [row[:2] for row in found.sheets[0].rows] == [["TCC under a lock in Redis", "250"], ["orders", "2,000"]]


def test_a_post_is_compared_with_a_trivial_view() -> None:
    found = door.summary({"POST orders/": 3.0, "trivial view": 2.0, "post_cpu_vs_trivial_view": 1.5})

    assert found.ratios == {"post_cpu_vs_trivial_view": 1.5}
    assert found.sheets[0].rows == [["POST orders/", "3.00"], ["trivial view", "2.00"]]


def test_percentiles_are_computed() -> None:
    values = [float(n) for n in range(101)]

    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99


@pytest.mark.parametrize(
    ("name", "good", "bad"), [("orders_vs_bare_chain", 12.0, 11.9), ("idle_p50_vs_bare_chain", 1.0, 1.01)]
)
def test_a_missed_target_is_named(name: str, good: float, bad: float) -> None:
    assert report.missed({name: good}) == []
    assert report.missed({name: bad}) == [name]


def test_every_ratio_that_has_a_target_belongs_to_a_measure() -> None:
    assert {ratio for measure in MEASURES.values() for ratio in measure.ratios} == set(TARGETS)


def test_a_measure_that_fails_leaves_the_others_and_its_reason() -> None:
    # Given
    written = result(Found(ratios={"orders_vs_bare_chain": 12.5}))

    # When
    suite.merge(written, "shop", {"failed": "RuntimeError: no port", "seconds": 2.0})

    # Then
    assert written["ratios"] == {"orders_vs_bare_chain": 12.5}
    assert written["missing"]["shop_rate"] == "not measured: RuntimeError: no port"
    assert "shop failed" in report.markdown(written)


def test_a_later_run_can_be_added_to_an_earlier_one(tmp_path: Path) -> None:
    # Given
    earlier = result(Found(ratios={"orders_vs_bare_chain": 12.5, "hot_vs_distinct": 1.0}))
    report.write(earlier, tmp_path / "latest.json")

    # When
    added = suite.begin(report.read(tmp_path / "latest.json"), quick=False)
    suite.merge(added, "saturation", {**asdict(Found(ratios={"orders_vs_bare_chain": 13.0})), "seconds": 1.0})

    # Then
    assert added["ratios"] == {"orders_vs_bare_chain": 13.0, "hot_vs_distinct": 1.0}
    assert added["missing"]["shop_rate"] == "not measured: the measure was not run"
    assert "hot_vs_distinct" not in added["missing"]


def test_the_figures_are_written_as_json_markdown_and_plots(tmp_path: Path) -> None:
    # Given
    curve = Curve("cohort", "Cohorts", "orders", "a second", {"whole": [(1, 70.0), (100, 1500.0)]})
    found = Found(ratios={"orders_vs_bare_chain": 12.5}, sheets=[Sheet("Rates", ("", "a|b"), [["orders", "7"]])])
    found.curves = [curve]

    # When
    report.write(result(found), tmp_path / "out" / "latest.json")

    # Then
    read = json.loads((tmp_path / "out" / "latest.json").read_text())
    page = (tmp_path / "out" / "latest.md").read_text()
    assert read["ratios"] == {"orders_vs_bare_chain": 12.5}
    assert read["settings"] == {"cpus": 2}
    assert "| orders_vs_bare_chain | 12.50 | ≥ 12 | reached |" in page
    assert "| orders | 7 |" in page
    assert "![Cohorts](cohort.svg)" in page
    assert (tmp_path / "out" / "cohort.svg").read_text() == plots.draw(curve)


def test_the_tables_show_ratios_beside_their_targets() -> None:
    text = StringIO()

    report.show(result(Found(ratios={"idle_p50_vs_bare_chain": 2.0})), Console(file=text, width=100))

    line = next(line for line in text.getvalue().splitlines() if "idle_p50_vs_bare_chain" in line)
    assert "2.00" in line
    assert "≤ 1" in line
    assert "missed" in line


@pytest.mark.parametrize(("highest", "step"), [(0, 1), (9, 2), (1500, 500), (1240, 250), (100_000, 20_000)])
def test_an_axis_has_round_steps(highest: float, step: float) -> None:
    assert plots.tick(highest) == pytest.approx(step)


def test_a_process_is_counted_with_its_descendants_and_once() -> None:
    processes = {1: (0, 100.0), 10: (1, 2.0), 11: (10, 1.5), 12: (11, 0.5), 20: (1, 7.0)}

    assert cpu.of_tree(10, processes) == 4.0
    assert cpu.of_tree(99, processes) == 0.0


def test_a_process_may_have_any_name() -> None:
    ticks = cpu._TICKS
    fields = f"S 7 1 1 0 -1 0 0 0 0 0 {ticks} {2 * ticks} {ticks} 0 20 0 1"

    assert cpu.parse(f"42 (a) b) {fields}") == (42, 7, 4.0)


def test_milliseconds_a_run_are_added_up() -> None:
    found = cpu.per_run({"web": 1.0, "redis": 2.0}, {"web": 2.0, "redis": 2.5}, 100)

    assert found == {"web": 10.0, "redis": 5.0, "total": 15.0}


def test_the_client_signs_payments_as_the_provider_does() -> None:
    # Given
    from standardwebhooks import Webhook

    secret = "whsec_" + "YQ==" * 1
    plan = client.Plan(1, ["t"], secret, 1.0, 1, ["s"], [1], 1500, "CNY", 5.0)

    # When
    path, headers, body = client.payment(plan, "D1", int(__import__("time").time()))

    # Then
    sent = dict(line.split(": ", 1) for line in headers.strip().split("\r\n"))
    assert path == "/api/v1/orders/D1/confirm/"
    Webhook(secret).verify(body, sent)


def test_figures_are_written_into_their_places_of_the_paper(tmp_path: Path) -> None:
    # Given
    page = tmp_path / "performance.md"
    places = ("saturation", "shop")
    page.write_text("".join(f"# {name}\n<!-- figures of {name} -->\nold\n<!-- end of figures -->\n" for name in places))
    found = Found(sheets=[Sheet("Rates", ("", "a second"), [["orders", "7"]])])

    # When
    left = [paper.publish(result(found), page), paper.publish(result(found), page)]

    # Then
    assert left == [["shop"], ["shop"]]
    assert page.read_text() == (
        "# saturation\n<!-- figures of saturation -->\n\n"
        "**Rates**\n\n|  | a second |\n| --- | ---: |\n| orders | 7 |\n\n"
        "<!-- end of figures -->\n# shop\n<!-- figures of shop -->\nold\n<!-- end of figures -->\n"
    )


def test_a_smoke_test_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="smoke test"):
        paper.publish({**result(Found()), "quick": True}, tmp_path / "performance.md")
