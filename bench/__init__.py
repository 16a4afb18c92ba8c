"""Benchmarks: orders beside a bare Celery chain, on the same servers, in one run. See ``bench.run``."""
