"""gRPC servers and channels that speak `servicekit.errors`, carry the trace and check requests."""
