"""The `rushes` command: starts the whole system on one machine, and is a client of it."""
