"""The demo: three orders on a running platform, one paid, one unpaid, one refused half-way.

It is a client of the API: ``python -m demo``, beside ``make run``. ``client`` speaks HTTP, ``story`` has the orders and
how each must end, ``screen`` shows them.
"""
