"""The events of the log, as the contracts describe them."""
