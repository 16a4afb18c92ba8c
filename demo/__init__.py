"""Three orders on a running platform, watched: one paid, one left alone, one refused half-way.

A client of the API and nothing else: ``python -m demo``, beside ``make run``. ``client`` speaks HTTP, ``story`` is
what is ordered and how it must end, ``screen`` draws it.
"""
