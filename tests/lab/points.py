"""What a test asks of the workers of the laboratory, by keys in Redis; see ``tests.lab.celery``, which no test imports.

It would have the points in the test's own process, where nobody is to die.
"""

#: At which point the next process dies that comes by.
KEY = "lab:kill"
#: The run whose performing kills.
POISON = "lab:poison"
#: The run whose performing takes an hour.
STALLED = "lab:stalled"
#: The run whose performing ends the session.
CUT_OFF = "lab:cut-off"
#: How many second copies went out.
DOUBLED = "lab:doubled"
#: What a worker writes to its log at its end, when only the interpreter has still to clean up.
ENDED = "lab: ended"
