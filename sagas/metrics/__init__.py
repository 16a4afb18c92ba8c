"""Metrics: what a process counts and measures, and what is looked up in the database when somebody asks.

An application declares its own beside the engine's: counters, histograms, and gauges that are computed at a scrape.
"""

from sagas.metrics.instruments import ANY, Counter, Histogram, on_scrape

__all__ = ["ANY", "Counter", "Histogram", "on_scrape"]
