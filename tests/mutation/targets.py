"""Which tests answer for which module: those that are its own first, so that most mutants end soon."""

from __future__ import annotations

_UNIT, _HERE = "tests/unit", "tests/integration"

TARGETS: dict[str, tuple[str, ...]] = {
    # decisions: pure
    "sagas/decisions/plan.py": (
        f"{_UNIT}/decisions/test_plan.py",
        f"{_UNIT}/decisions/test_choreography.py",
        f"{_HERE}/engine/test_forks.py",
    ),
    "sagas/decisions/choreography.py": (
        f"{_UNIT}/decisions/test_choreography.py",
        f"{_UNIT}/definition/test_events.py",
    ),
    "sagas/definition/retry.py": (f"{_UNIT}/definition/test_retry.py",),
    "sagas/decisions/breaker_policy.py": (
        f"{_UNIT}/decisions/test_breaker_policy.py",
        f"{_HERE}/engine/test_breakers.py",
    ),
    "sagas/definition/shapes.py": (
        f"{_UNIT}/definition/test_shapes.py",
        f"{_UNIT}/definition/test_definition.py",
        f"{_HERE}/definition/test_versions.py",
    ),
    "sagas/db.py": (f"{_UNIT}/test_db.py", f"{_HERE}/postgresql/test_server_trouble.py"),
    # stores
    "sagas/store/moves.py": (
        f"{_HERE}/store/test_waits.py",
        f"{_HERE}/engine/test_lifecycle.py",
        f"{_HERE}/engine/test_performing.py",
        f"{_HERE}/engine/test_retries.py",
    ),
    "sagas/store/runs.py": (
        f"{_HERE}/store/test_waits.py",
        f"{_HERE}/engine/test_forks.py",
        f"{_HERE}/remote/test_steps.py",
        f"{_HERE}/engine/test_reports.py",
    ),
    "sagas/store/claims.py": (
        f"{_HERE}/engine/test_lifecycle.py",
        f"{_HERE}/worker/test_stuck.py",
        f"{_HERE}/engine/test_locks.py",
    ),
    "sagas/store/log.py": (
        f"{_HERE}/remote/test_steps.py",
        f"{_HERE}/engine/test_reports.py",
        f"{_HERE}/engine/test_late_reports.py",
    ),
    "sagas/store/confirmations.py": (f"{_HERE}/engine/test_lifecycle.py", f"{_HERE}/engine/test_given_back.py"),
    # delivery
    "sagas/delivery/carrier.py": (f"{_HERE}/delivery/test_neighbours.py", f"{_HERE}/engine/test_subsagas.py"),
    "sagas/delivery/delivering.py": (
        f"{_HERE}/delivery/test_short_path.py",
        f"{_HERE}/local/test_claims.py",
        f"{_HERE}/postgresql/test_interruptions.py",
        f"{_HERE}/messaging/test_unreadable_messages.py",
    ),
    "sagas/delivery/dispatching.py": (
        f"{_HERE}/delivery/test_neighbours.py",
        f"{_HERE}/messaging/test_refused_dispatch.py",
    ),
    "sagas/delivery/redelivery.py": (
        f"{_HERE}/delivery/test_short_path.py",
        f"{_HERE}/local/test_claims.py",
        f"{_HERE}/postgresql/test_interruptions.py",
    ),
    "sagas/delivery/short_path.py": (f"{_HERE}/delivery/test_short_path.py",),
    # engine
    "sagas/engine/deadlines.py": (
        f"{_HERE}/engine/test_deadlines.py",
        f"{_HERE}/engine/test_lifecycle.py",
        f"{_HERE}/engine/test_retries.py",
        f"{_HERE}/engine/test_performing.py",
        f"{_HERE}/engine/test_poison.py",
    ),
    "sagas/engine/compensation.py": (
        f"{_HERE}/engine/test_lifecycle.py",
        f"{_HERE}/engine/test_given_back.py",
        f"{_HERE}/escalations/test_actions.py",
    ),
    "sagas/engine/outside/remote_calls.py": (
        f"{_HERE}/remote/test_attempts.py",
        f"{_HERE}/remote/test_late_answers.py",
        f"{_HERE}/remote/test_steps.py",
    ),
    "sagas/engine/reports.py": (
        f"{_HERE}/engine/test_reports.py",
        f"{_HERE}/engine/test_late_reports.py",
        f"{_HERE}/remote/test_late_answers.py",
        f"{_HERE}/remote/test_attempts.py",
        f"{_HERE}/engine/test_subsagas.py",
    ),
    "sagas/engine/claiming.py": (
        f"{_HERE}/engine/test_lifecycle.py",
        f"{_HERE}/delivery/test_neighbours.py",
        f"{_HERE}/engine/test_poison.py",
    ),
    "sagas/engine/performing.py": (
        f"{_HERE}/engine/test_performing.py",
        f"{_HERE}/delivery/test_neighbours.py",
        f"{_HERE}/postgresql/test_lock_waits.py",
    ),
    "sagas/engine/cohort.py": (
        f"{_HERE}/engine/test_performing.py",
        f"{_HERE}/delivery/test_neighbours.py",
        f"{_HERE}/delivery/test_short_path.py",
        f"{_HERE}/postgresql/test_lock_waits.py",
        f"{_HERE}/postgresql/test_interruptions.py",
    ),
    "sagas/engine/compressed.py": (f"{_HERE}/engine/test_compressed.py", "tests/races/test_compressed.py"),
    "sagas/engine/results.py": (
        f"{_HERE}/remote/test_attempts.py",
        f"{_HERE}/engine/test_performing.py",
        f"{_HERE}/engine/test_retries.py",
        f"{_HERE}/engine/test_forks.py",
    ),
    "sagas/engine/lifecycle.py": (
        f"{_HERE}/engine/test_lifecycle.py",
        f"{_HERE}/engine/test_given_back.py",
        f"{_HERE}/escalations/test_resume.py",
    ),
    "sagas/engine/locks.py": (f"{_HERE}/engine/test_locks.py", f"{_HERE}/worker/test_lines.py"),
    "sagas/engine/breakers.py": (f"{_HERE}/engine/test_breakers.py",),
    "sagas/engine/subsagas.py": (f"{_HERE}/engine/test_subsagas.py", f"{_HERE}/engine/test_subsagas_by_hand.py"),
}
