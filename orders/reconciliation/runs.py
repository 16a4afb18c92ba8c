"""What holds between the state of a run, its log and its confirmations, by the shape of its definition on record.

It is read from the tables alone, not by the engine's code. A run that a person has ended by hand is left out.
"""

from __future__ import annotations

from sagas.invariants import RUNS, Invariant, Walk

#: The ended runs among the keys, and what the shape of each says: ``wanted`` must be done, ``never`` must not.
_LOGGED = """
WITH ended AS MATERIALIZED (
    SELECT run.id, run.saga, run.state, run.business_key, d.body, log.done, log.started
    FROM sagas_run AS run
    JOIN sagas_definition AS d ON d.saga = run.saga AND d.version = run.version AND d.shape = run.shape
    CROSS JOIN LATERAL (
        SELECT COALESCE(array_agg(step || '.' || operation) FILTER (WHERE outcome = 'DONE'), '{}') AS done,
            COALESCE(bool_or(operation = 'start' AND outcome = 'EVENT'), false) AS started,
            COALESCE(bool_or(operation = 'resolve'), false) AS by_hand
        FROM sagas_log WHERE run_id = run.id
    ) AS log
    WHERE run.id = ANY(%(keys)s::text[]::uuid[]) AND NOT log.by_hand
        AND run.state IN ('SUCCEEDED', 'FAILED', 'CONFIRMING', 'COMPENSATING')
)
SELECT r.id::text AS key, 'sagas_run ' || r.id AS row, r.id AS run_id,
    jsonb_build_object('saga', r.saga, 'business_key', r.business_key, 'run', r.state, 'started', r.started,
        'missing', array_to_string(e.missing, ', '), 'extra', array_to_string(e.extra, ', ')) AS data
FROM ended AS r CROSS JOIN LATERAL (
    SELECT array_agg(step.name || '.' || operation.value) FILTER (WHERE CASE r.state
            WHEN 'SUCCEEDED' THEN phase = 'forward' OR phase = 'confirm' AND step.position <= (r.body->>'pivot')::int
            WHEN 'FAILED' THEN phase = 'undo' AND step.name || '.' || (step.operations->>'forward') = ANY(r.done)
            ELSE false END AND NOT step.name || '.' || operation.value = ANY(r.done)) AS missing,
        array_agg(step.name || '.' || operation.value) FILTER (WHERE CASE WHEN r.state IN ('SUCCEEDED', 'CONFIRMING')
            THEN phase = 'undo' ELSE phase = 'confirm' END
            AND step.name || '.' || operation.value = ANY(r.done)) AS extra
    FROM (
        SELECT value->>'name' AS name, value->'operations' AS operations, ordinality AS position
        FROM jsonb_array_elements(r.body->'steps') WITH ORDINALITY
    ) AS step CROSS JOIN LATERAL jsonb_each_text(step.operations) AS operation(phase, value)
) AS e
WHERE e.missing IS NOT NULL OR e.extra IS NOT NULL OR NOT r.started
"""
_CONFIRMED = """
SELECT run.id::text AS key, 'sagas_confirmation of ' || run.id AS row, run.id AS run_id,
    jsonb_build_object('saga', run.saga, 'business_key', run.business_key, 'run', run.state, 'name', c->>'name') AS data
FROM sagas_run AS run
JOIN sagas_definition AS d ON d.saga = run.saga AND d.version = run.version AND d.shape = run.shape
CROSS JOIN LATERAL jsonb_array_elements(d.body->'confirmations') AS c
WHERE run.id = ANY(%(keys)s::text[]::uuid[]) AND run.state IN ('CONFIRMING', 'SUCCEEDED')
    AND NOT EXISTS (SELECT FROM sagas_confirmation WHERE run_id = run.id AND name = c->>'name')
    AND NOT EXISTS (SELECT FROM sagas_log WHERE run_id = run.id AND operation = 'resolve')
"""
_OF_NO_RUN = """
SELECT log.run_id::text AS key, 'sagas_log of ' || log.run_id AS row, log.run_id,
    jsonb_build_object('rows', log.n) AS data
FROM (SELECT run_id, count(*) AS n FROM sagas_log WHERE run_id = ANY(%(keys)s::text[]::uuid[]) GROUP BY 1) AS log
WHERE NOT EXISTS (SELECT FROM sagas_run WHERE id = log.run_id)
"""
_ADVICE = "Compare the log of the run with its effects; `manage.py sagas doctor` says more about its state."

INVARIANTS = (
    Invariant(
        name="runs.logged",
        says="A run that succeeded has done and confirmed every step, one that failed has undone what it did, and none "
        "has done both.",
        walk=RUNS,
        sql=_LOGGED,
        found="{saga} {business_key} is {run}; its log lacks: {missing}; it must not have: {extra}; it has its start: "
        "{started}",
        advice=_ADVICE,
    ),
    Invariant(
        name="runs.confirmed",
        says="A run past its pivot has all of its confirmations.",
        walk=RUNS,
        sql=_CONFIRMED,
        found="{saga} {business_key} is {run}, and its confirmation {name} is not there",
        advice=_ADVICE,
    ),
    Invariant(
        name="runs.log",
        says="The log is of runs that are there.",
        walk=Walk("sagas_log", "run_id", "uuid", grows=True),
        sql=_OF_NO_RUN,
        found="the log has {rows} row(s) of a run that is not there",
        advice="A run was deleted without its log. Restore it from a backup, or see to its effects.",
    ),
)
