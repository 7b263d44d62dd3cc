"""What the model server calls: the state on disk, renderers, receivers of webhooks."""
