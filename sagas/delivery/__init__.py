"""What each process that performs does with a delivery, whichever carrier has brought it. Knows no broker."""
