"""What the gateway calls: the other services over gRPC, the event log, the decoders of pictures and sound."""
