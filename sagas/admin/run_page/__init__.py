"""The page of one run: what happened, what is next, and all that is on record of it.

``page`` brings everything together. ``log`` filters and groups the log, ``failures`` compares attempts, ``words`` has
the texts of drawings, and ``export`` writes a run as JSON.
"""
