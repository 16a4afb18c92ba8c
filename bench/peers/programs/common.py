"""What every engine does here: four steps, each one transaction that changes a stock row and adds a log row.

A program of this folder runs in the environment of its engine, and imports nothing else of this repository. It is
called with ``setup``, ``work``, ``start FIRST COUNT`` or ``idle FIRST COUNT``.
"""

import json
import os
import sys
import threading
import time

try:
    import psycopg as driver
except ImportError:
    import psycopg2 as driver

SKUS = 1000
STEPS = (1, 2, 3, 4)
_PLENTY = 10_000_000
#: Seconds after which a run that has not ended is given up.
_PATIENCE = 60.0
_local = {}


def connect():
    """A session that commits each statement, unless told otherwise."""
    connection = driver.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    return connection


def session():
    """This process's and thread's session, which is kept."""
    key = os.getpid(), threading.get_ident()
    if key not in _local:
        _local[key] = connect()
    return _local[key]


def create():
    """Make the tables in an empty database."""
    with connect().cursor() as cursor:
        cursor.execute("CREATE TABLE stock (sku int PRIMARY KEY, available bigint CHECK (available >= 0), held bigint)")
        cursor.execute("INSERT INTO stock SELECT n, %s, 0 FROM generate_series(0, %s) AS n", (_PLENTY, SKUS - 1))
        cursor.execute(
            "CREATE TABLE effect (run bigint, step int, at timestamptz DEFAULT clock_timestamp(), "
            "PRIMARY KEY (run, step))"
        )


TAKE = "UPDATE stock SET available = available - 1, held = held + 1 WHERE sku = %s"
NOTE = "INSERT INTO effect (run, step) VALUES (%s, %s)"


def perform(run, step):
    """One step as one transaction."""
    with session().cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute(TAKE, (run % SKUS,))
            cursor.execute(NOTE, (run, step))
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")


def idle(start, first, count):
    """Start one run at a time; print the milliseconds until another session sees its fourth step."""
    found = []
    with connect().cursor() as cursor:
        for number in range(first, first + count):
            began = time.time()
            start(number)
            while True:
                cursor.execute("SELECT 1 FROM effect WHERE run = %s AND step = 4", (number,))
                if cursor.fetchone():
                    break
                if time.time() - began > _PATIENCE:
                    sys.exit(f"run {number} did not end within {_PATIENCE:g} s")
                time.sleep(0.001)
            found.append((time.time() - began) * 1000)
            time.sleep(0.05)
    json.dump(found, sys.stdout)


def main(*, setup, start, work, create=create):
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["setup"]:
            create()
            setup()
        case ["work"]:
            work()
        case ["start", first, count]:
            for number in range(int(first), int(first) + int(count)):
                start(number)
        case ["idle", first, count]:
            idle(start, int(first), int(count))
