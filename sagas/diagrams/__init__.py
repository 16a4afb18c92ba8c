"""Drawings of runs and sagas: where everything is, in pixels, and how it is written as SVG or Mermaid. Pure.

``timeline`` reads a run's log: attempts, waits, events. ``axis`` gives each moment its place and folds idle time.
``waterfall`` and ``step_graph`` lay out. ``svg`` and ``mermaid`` write. Nothing here knows a database or a page.
"""
