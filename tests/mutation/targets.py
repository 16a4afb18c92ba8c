"""Which tests answer for which module: those that are its own first, so that most mutants end soon."""

from __future__ import annotations

_UNIT, _HERE = "tests/unit", "tests/integration"

TARGETS: dict[str, tuple[str, ...]] = {
    # decisions: pure
    "sagas/plan.py": (f"{_UNIT}/test_plan.py", f"{_UNIT}/test_choreography.py", f"{_HERE}/test_forks.py"),
    "sagas/choreography.py": (f"{_UNIT}/test_choreography.py", f"{_UNIT}/test_events.py"),
    "sagas/retry.py": (f"{_UNIT}/test_retry.py",),
    "sagas/breaker.py": (f"{_UNIT}/test_breaker.py", f"{_HERE}/test_breaker.py"),
    "sagas/shapes.py": (f"{_UNIT}/test_shapes.py", f"{_UNIT}/test_definition.py", f"{_HERE}/test_versions.py"),
    "sagas/faults.py": (f"{_UNIT}/test_faults.py", f"{_HERE}/test_server_trouble.py"),
    # stores
    "sagas/move_store.py": (
        f"{_HERE}/test_waits.py",
        f"{_HERE}/test_lifecycle.py",
        f"{_HERE}/test_perform.py",
        f"{_HERE}/test_retries.py",
    ),
    "sagas/wait_store.py": (
        f"{_HERE}/test_waits.py",
        f"{_HERE}/test_forks.py",
        f"{_HERE}/test_remote.py",
        f"{_HERE}/test_reports.py",
    ),
    "sagas/claim_store.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_stuck.py", f"{_HERE}/test_locks.py"),
    "sagas/log_store.py": (f"{_HERE}/test_remote.py", f"{_HERE}/test_reports.py", f"{_HERE}/test_late_reports.py"),
    "sagas/confirmation_store.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_given_back.py"),
    # engine
    "sagas/deadlines.py": (f"{_HERE}/test_deadlines.py", f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_blame.py"),
    "sagas/timeouts.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_retries.py", f"{_HERE}/test_perform.py"),
    "sagas/turns.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_given_back.py", f"{_HERE}/test_escalation.py"),
    "sagas/intents.py": (f"{_HERE}/test_remote_attempts.py", f"{_HERE}/test_remote_late.py", f"{_HERE}/test_remote.py"),
    "sagas/late.py": (
        f"{_HERE}/test_remote_attempts.py",
        f"{_HERE}/test_remote_late.py",
        f"{_HERE}/test_late_reports.py",
    ),
    "sagas/reports.py": (f"{_HERE}/test_reports.py", f"{_HERE}/test_late_reports.py", f"{_HERE}/test_nested.py"),
    "sagas/claim.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_neighbours.py", f"{_HERE}/test_blame.py"),
    "sagas/perform.py": (f"{_HERE}/test_perform.py", f"{_HERE}/test_neighbours.py", f"{_HERE}/test_lock_waits.py"),
    "sagas/record.py": (
        f"{_HERE}/test_remote_attempts.py",
        f"{_HERE}/test_perform.py",
        f"{_HERE}/test_retries.py",
        f"{_HERE}/test_forks.py",
    ),
    "sagas/lifecycle.py": (f"{_HERE}/test_lifecycle.py", f"{_HERE}/test_given_back.py", f"{_HERE}/test_resume.py"),
    "sagas/isolation.py": (f"{_HERE}/test_locks.py", f"{_HERE}/test_lines.py"),
    "sagas/gate.py": (f"{_HERE}/test_breaker.py",),
    "sagas/nested.py": (f"{_HERE}/test_nested.py", f"{_HERE}/test_nested_by_hand.py"),
}
