"""The demo: orders and group buys on a running platform; first three orders, then four more stories.

It is a client of the API: ``python -m demo``, beside ``make run``. ``client`` speaks HTTP, ``story`` has the first
three orders and how each must end, ``episodes`` the other stories, ``people`` who pays and who opens group buys, and
``screen`` shows them.
"""
