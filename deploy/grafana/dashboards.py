"""Grafana's dashboards, built by its SDK. ``python -m deploy.grafana.dashboards`` writes the JSON beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

HERE = Path(__file__).parent
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
SECONDS, RATE, NUMBER, PART = "s", "ops", "short", "percentunit"


@dataclass(frozen=True)
class Panel:
    """A time series: its title, its unit, and its queries with their legends."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    #: Of the row that begins with it.
    row: str = ""
    #: Whether it is drawn from zero on.
    from_zero: bool = True


@dataclass(frozen=True)
class Board:
    """A dashboard: its panels, two in a row; and whether one saga is chosen for it."""

    uid: str
    title: str
    panels: Sequence[Panel]
    of_one_saga: bool = False


def _p(quantile: float, metric: str, by: str, where: str = "") -> str:
    return f"histogram_quantile({quantile}, sum by ({by}, le) (rate({metric}_bucket{where}[5m])))"


_ONE = '{saga=~"$saga"}'

BOARDS = (
    Board(
        "sagas-overview",
        "Sagas: overview",
        (
            Panel("Runs under way", NUMBER, [("sum by (state) (sagas_runs)", "{{state}}")]),
            Panel(
                "Runs that enter a state", RATE, [("sum by (state) (rate(sagas_transitions_total[5m]))", "{{state}}")]
            ),
            Panel("Oldest run", SECONDS, [("max by (state) (sagas_oldest_seconds)", "{{state}}")]),
            Panel("Due, and not claimed", SECONDS, [("max by (state) (sagas_overdue_seconds)", "{{state}}")]),
            Panel(
                "From start to end, p95",
                SECONDS,
                [(_p(0.95, "sagas_run_duration_seconds", "saga, outcome"), "{{saga}} {{outcome}}")],
            ),
            Panel(
                "Operations by outcome",
                RATE,
                [("sum by (outcome) (rate(sagas_step_operations_total[5m]))", "{{outcome}}")],
            ),
            Panel(
                "Open escalations", NUMBER, [("sum by (outcome) (sagas_escalations_open) or vector(0)", "{{outcome}}")]
            ),
            Panel(
                "Open breakers",
                NUMBER,
                [("sum by (saga, step) (sagas_breakers_open) or vector(0)", "{{saga}}.{{step}}")],
            ),
            Panel("Workers", NUMBER, [("sum by (state) (sagas_workers)", "{{state}}")]),
            Panel("Refused starts", RATE, [("rate(sagas_admission_refused_total[5m])", "refused")]),
            Panel(
                "Error budget that is left of 30 days",
                PART,
                [("sagas_objective_budget_left", "{{saga}} {{objective}}")],
                row="Service levels",
                from_zero=False,
            ),
            Panel(
                "Burn rate, by window (14.4 × of 1h and 5m, 6 × of 6h and 30m, 1 × of 3d and 6h call)",
                NUMBER,
                [("objective:burn:rate", "{{saga}} {{objective}} {{window}}")],
            ),
            Panel(
                "Bad runs, by window",
                NUMBER,
                [('sagas_objective_runs{outcome="bad"}', "{{saga}} {{objective}} {{window}}")],
            ),
            Panel("Budgets that burn", NUMBER, [("sagas_burn_incidents_open", "{{saga}} {{objective}}")]),
            Panel(
                "Compensation lag, p95",
                SECONDS,
                [
                    (
                        _p(0.95, "sagas_claim_wait_seconds", "saga", '{state="COMPENSATING"}') + " or vector(0)",
                        "{{saga}}",
                    )
                ],
            ),
        ),
    ),
    Board(
        "sagas-saga",
        "Sagas: one saga",
        (
            Panel("Runs under way", NUMBER, [(f"sum by (state) (sagas_runs{_ONE}) or vector(0)", "{{state}}")]),
            Panel(
                "Runs that enter a state",
                RATE,
                [(f"sum by (state) (rate(sagas_transitions_total{_ONE}[5m]))", "{{state}}")],
            ),
            Panel(
                "Due until claimed, p95", SECONDS, [(_p(0.95, "sagas_claim_wait_seconds", "state", _ONE), "{{state}}")]
            ),
            Panel(
                "Published until performed, p95",
                SECONDS,
                [
                    (
                        f"{_p(0.95, 'sagas_step_wait_seconds', 'step, operation', _ONE)} or vector(0)",
                        "{{step}} {{operation}}",
                    )
                ],
            ),
            Panel(
                "In the participant, p95",
                SECONDS,
                [(_p(0.95, "sagas_step_duration_seconds", "step, operation", _ONE), "{{step}} {{operation}}")],
            ),
            Panel(
                "Operations",
                RATE,
                [
                    (
                        f"sum by (step, operation, outcome) (rate(sagas_step_operations_total{_ONE}[5m]))",
                        "{{step}} {{operation}} {{outcome}}",
                    )
                ],
            ),
            Panel(
                "Runs in a cohort, mean",
                NUMBER,
                [
                    (
                        f"sum by (step) (rate(sagas_cohort_size_sum{_ONE}[5m])) "
                        f"/ sum by (step) (rate(sagas_cohort_size_count{_ONE}[5m]))",
                        "{{step}}",
                    )
                ],
            ),
            Panel(
                "From start to end, p50 and p95",
                SECONDS,
                [
                    (
                        _p(quantile, "sagas_run_duration_seconds", "outcome", _ONE),
                        f"{{{{outcome}}}} p{quantile * 100:.0f}",
                    )
                    for quantile in (0.5, 0.95)
                ],
            ),
            Panel(
                "Deadlines, judged so late, p95",
                SECONDS,
                [(f"{_p(0.95, 'sagas_deadline_drift_seconds', 'outcome', _ONE)} or vector(0)", "by {{outcome}}")],
            ),
            Panel("Lapsed leases", RATE, [(f"sum(rate(sagas_leases_lapsed_total{_ONE}[5m])) or vector(0)", "lapsed")]),
        ),
        of_one_saga=True,
    ),
    Board(
        "sagas-shop",
        "Shop",
        (
            Panel("Orders by fate", RATE, [("sum by (outcome) (rate(shop_orders_total[5m]))", "{{outcome}}")]),
            Panel("Cups", NUMBER, [("sum by (state) (shop_stock_cups)", "{{state}}")]),
            Panel("Places of the next 24 hours", NUMBER, [("sum by (state) (shop_slot_places)", "{{state}}")]),
            Panel("Uses of coupons", NUMBER, [("sum by (state) (shop_coupon_uses)", "{{state}}")]),
            Panel("Repeated requests", RATE, [("rate(shop_idempotent_replays_total[5m])", "answered as the first")]),
            Panel("Refused webhooks", RATE, [("rate(shop_webhooks_refused_total[5m])", "refused")]),
            Panel("Contradictions that are open", NUMBER, [("shop_findings_open", "open")]),
        ),
    ),
    Board(
        "sagas-servers",
        "Sagas: broker and database",
        (
            Panel("Messages that wait", NUMBER, [("sagas_queued_messages", "on step queues")]),
            Panel("Set aside", NUMBER, [("sagas_dead_letters", "messages"), ("sagas_dead_events", "events")]),
            Panel("Oldest event in the outbox", SECONDS, [("sagas_outbox_oldest_seconds", "oldest")]),
            Panel("Since the last tick", SECONDS, [("max by (saga) (sagas_last_tick_seconds)", "{{saga}}")]),
            Panel("Since the last delivery", SECONDS, [("max by (saga) (sagas_last_delivery_seconds)", "{{saga}}")]),
            Panel(
                "Redis does not answer",
                RATE,
                [("rate(sagas_redis_away_total[5m])", "paused"), ("rate(sagas_kicks_lost_total[5m])", "lost kicks")],
            ),
            Panel("The database answers a scrape", NUMBER, [('up{job="sagas"}', "up")]),
            Panel("A scrape takes", SECONDS, [('scrape_duration_seconds{job="sagas"}', "seconds")]),
        ),
    ),
)


def build(board: Board) -> str:
    """The JSON of a dashboard."""
    built: Any = dashboard.Dashboard(board.title).uid(board.uid).tags(["sagas"]).refresh("30s").time("now-1h", "now")
    if board.of_one_saga:
        chosen = dashboard.QueryVariable("saga").label("Saga").datasource(SOURCE)
        built = built.with_variable(
            chosen.query("label_values(sagas_transitions_total, saga)").include_all(True).all_value(".*").multi(True)
        )
    for panel in board.panels:
        if panel.row:
            built = built.with_row(dashboard.Row(panel.row))
        drawn: Any = timeseries.Panel().title(panel.title).unit(panel.unit).datasource(SOURCE).span(12).height(8)
        if panel.from_zero:
            drawn = drawn.min(0)
        for letter, (expression, legend) in zip("ABCD", panel.queries, strict=False):
            drawn = drawn.with_target(prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter))
        built = built.with_panel(drawn)
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def write() -> None:
    """Write all of them."""
    for board in BOARDS:
        (HERE / f"{board.uid}.json").write_text(build(board))


if __name__ == "__main__":
    write()
