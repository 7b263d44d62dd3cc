"""What calls catalog: gRPC and the event log."""
