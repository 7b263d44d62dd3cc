"""What the provider can run: its models and collections, their schemas, and what runs of them cost."""
