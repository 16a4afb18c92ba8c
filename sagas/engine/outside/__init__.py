"""Effects outside the engine's database: in another database, behind a barrier, and in other systems, over HTTP."""
