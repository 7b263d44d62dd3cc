"""What calls the stitcher: the event log and gRPC."""
