"""The platform on one machine: servers, web and workers, started together and stopped together.

Standard library only, like ``private_services`` on which it stands. ``cli`` is the command, ``platform`` the order
in which things start and stop, ``child`` one process that is watched,
``revival`` when it is started again, ``environment`` the environment of all of them, ``record`` what is stored for
``--stop`` and for the run after a crash.
"""
