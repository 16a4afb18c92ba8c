"""How a saga is declared: its steps, confirmations, locks, retries and events. Pure: no clock, no SQL, no broker."""
