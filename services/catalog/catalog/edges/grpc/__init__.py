"""The gRPC services, one module each: requests become use cases, records become messages."""
