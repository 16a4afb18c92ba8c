"""The latency of one bare chain, and of one order, on an idle system."""

from __future__ import annotations

from statistics import median

from bench import latency
from bench.lifecycles import COMPRESSED, NO_LIFECYCLE, ORDINARY, WITHOUT_BROKER, has_compressed
from bench.measured import Latencies
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Found, Sheet, percentile, percentiles
from bench.workload import Shop


def measure(options: Options, say: Say) -> Found:
    """Measure every lifecycle beside the bare chain, which is measured each time."""
    prepare()
    shop, samples = Shop(), options.size(200, 12)
    found, rows = Found(), []
    for prefix, lifecycle in {"": ORDINARY, "compressed_": COMPRESSED, "no_broker_": WITHOUT_BROKER}.items():
        if lifecycle is COMPRESSED and not has_compressed():
            found.missing["compressed_idle_p50_vs_bare_chain"] = NO_LIFECYCLE
            continue
        say(lifecycle.title)
        taken = Latencies()
        latency.measure(shop, samples, taken, lifecycle)
        found.ratios |= {f"{prefix}{name}": ratio for name, ratio in ratios(taken).items()}
        found.figures[f"{prefix}idle"] = figures(taken)
        for title, values in (
            ("bare chain, to its fourth task", taken.bare),
            (f"{lifecycle.title}, to the fourth step", taken.orders),
            (f"{lifecycle.title}, from payment to SUCCEEDED", taken.confirms),
        ):
            rows.append([title, f"{percentile(values, 50):.1f}", f"{percentile(values, 99):.1f}", str(len(values))])
    found.sheets = [Sheet("Milliseconds, idle, as seen by another session", ("", "p50", "p99", "samples"), rows)]
    return found


def ratios(taken: Latencies) -> dict[str, float]:
    """An order's latency to its fourth step beside a bare chain's."""
    return {
        f"idle_p{percent}_vs_bare_chain": percentile(taken.orders, percent) / percentile(taken.bare, percent)
        for percent in (50, 99)
    }


def figures(taken: Latencies) -> dict[str, object]:
    """Percentiles, and every sample."""
    return {
        "bare_chain": percentiles(taken.bare),
        "orders": percentiles(taken.orders),
        "payment_to_succeeded": percentiles(taken.confirms),
        "hops_p50_ms": {name: median(values) for name, values in taken.hops.items()},
        "raw_ms": {"bare_chain": taken.bare, "orders": taken.orders, "confirms": taken.confirms},
    }
