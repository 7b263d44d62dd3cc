"""What calls the generator: the event log and gRPC."""
