"""Cups of one SKU by TCC under a lock in Redis, as a team would first write it, and correct.

The lock is a key with a token and a time to live; who finds it taken waits and tries again, each time for longer. Under
it the stock row is read, changed and written in one transaction. A lock may lapse before its holder has committed. So
the row has a version, and who did not write the version that follows the one read begins again: without it two
holders would write the same number, and sell one cup twice. An effect row makes each operation happen once, though its
message may come twice.
"""

import os
import random
import time
import uuid
from contextlib import contextmanager
from functools import cache

import redis
from common import NOTE, connect, create, session

SKU = 0
#: The steps of a run: its try, and its confirm or cancel. A run that was refused has ``REFUSED`` in place of both.
TRY, SETTLED, REFUSED = 1, 2, 3
#: Milliseconds after which a lock lapses: hundreds of times what an operation takes.
TTL = 5000
#: Seconds between looks at a lock that is taken: they double from the first to the last.
_FIRST, _LAST = 0.001, 0.05
#: Seconds after which a wait for the lock is given up.
_PATIENCE = 10.0
_KEY = f"stock:{SKU}:lock"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Taken(Exception):
    """The lock was held by others for all the time that it was waited for."""


class _Outdated(Exception):
    """Somebody else has written the row since it was read."""


@cache
def _client():
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def create_stock(available=None):
    """Make the tables in an empty database, with so many cups, or plenty."""
    create()
    with connect().cursor() as cursor:
        cursor.execute("ALTER TABLE stock ADD sold bigint DEFAULT 0 CHECK (sold >= 0), ADD version bigint DEFAULT 0")
        cursor.execute("ALTER TABLE stock ADD CHECK (held >= 0)")
        if available is not None:
            cursor.execute("UPDATE stock SET available = %s WHERE sku = %s", (available, SKU))


@contextmanager
def _lock(ttl):
    token, pause, end = uuid.uuid4().hex, _FIRST, time.monotonic() + _PATIENCE
    while not _client().set(_KEY, token, nx=True, px=ttl):
        if time.monotonic() > end:
            raise Taken
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        pause = min(2 * pause, _LAST)
    try:
        yield
    finally:
        _client().eval(_RELEASE, 1, _KEY, token)


def try_(run, ttl=TTL):
    """Hold a cup; whether there was one.

    Raises:
        Taken: the lock could not be had.
    """
    return _under_lock(_hold, run, ttl)


def confirm(run, ttl=TTL):
    """Sell the held cup."""
    _under_lock(_sell, run, ttl)


def cancel(run, ttl=TTL):
    """Put the held cup back."""
    _under_lock(_put_back, run, ttl)


def _under_lock(change, run, ttl):
    while True:
        with _lock(ttl), session().cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                found = change(cursor, run)
            except _Outdated:
                cursor.execute("ROLLBACK")
                continue
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
            return found


def _hold(cursor, run):
    cursor.execute("SELECT step FROM effect WHERE run = %s AND step IN (%s, %s)", (run, TRY, REFUSED))
    if done := cursor.fetchone():
        return done[0] == TRY
    available, held, sold, version = _read(cursor)
    if available:
        cursor.execute(NOTE, (run, TRY))
        _write(cursor, available - 1, held + 1, sold, version)
    else:
        cursor.execute(NOTE, (run, REFUSED))
    return available > 0


def _sell(cursor, run):
    if _is_held(cursor, run):
        available, held, sold, version = _read(cursor)
        cursor.execute(NOTE, (run, SETTLED))
        _write(cursor, available, held - 1, sold + 1, version)


def _put_back(cursor, run):
    if _is_held(cursor, run):
        available, held, sold, version = _read(cursor)
        cursor.execute(NOTE, (run, SETTLED))
        _write(cursor, available + 1, held - 1, sold, version)


def _is_held(cursor, run):
    cursor.execute("SELECT step FROM effect WHERE run = %s", (run,))
    return {step for (step,) in cursor.fetchall()} == {TRY}


def _read(cursor):
    cursor.execute("SELECT available, held, sold, version FROM stock WHERE sku = %s", (SKU,))
    return cursor.fetchone()


def _write(cursor, available, held, sold, version):
    cursor.execute(
        "UPDATE stock SET available = %s, held = %s, sold = %s, version = version + 1 WHERE sku = %s AND version = %s",
        (available, held, sold, SKU, version),
    )
    if not cursor.rowcount:
        raise _Outdated
