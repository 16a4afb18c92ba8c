"""How gunicorn serves the shop: ``gunicorn drinkgroup.wsgi``, in this folder. The command line comes first."""

# Reads requests beside its threads: whoever sends slowly holds none (docs/adr).
worker_class = "drinkgroup.server.Worker"
workers = 2
threads = 4
# The control socket lies in the home directory, where a second gunicorn would find it.
control_socket_disable = True
