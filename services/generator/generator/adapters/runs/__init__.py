"""The provider's predictions, catalog's attempts, the event log, and what operators read."""
