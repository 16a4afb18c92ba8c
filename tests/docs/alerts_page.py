"""The page of alerts, from the rules: ``python -m tests.docs.alerts_page`` writes it."""

from __future__ import annotations

from typing import Any

import yaml

from tests.docs.papers import ROOT

PAPER = ROOT / "docs/how-to/alerts.md"
RULES = ROOT / "deploy/prometheus/alerts.yaml"

HEAD = "\n\n".join(
    [
        "# Alerts",
        "What each alert of [`deploy/prometheus/alerts.yaml`](../../deploy/prometheus/alerts.yaml) means, and what to "
        "do. This page is written from that file (`python -m tests.docs.alerts_page`). The [runbook](runbook.md) says "
        "more about each part, and [Metrics](../reference/metrics.md) what is measured.\n",
    ]
)


def alerts() -> list[dict[str, Any]]:
    """All alerts, in their order."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def page() -> str:
    """The page."""
    parts = [HEAD]
    for alert in alerts():
        said = alert["annotations"]
        severity = {"page": "Calls a person at once.", "ticket": "Can wait for the morning."}
        parts.append(
            f"## {alert['alert']}\n\n{severity[alert['labels']['severity']]} `{alert['expr']}`"
            f"{' for ' + alert['for'] if 'for' in alert else ''}.\n\n"
            f"- **Cause**: {said['cause']}\n- **Check**: {said['check']}\n- **Cure**: {said['cure']}\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    PAPER.write_text(page())
