"""From REST to gRPC and back, by the descriptors alone."""
