"""RFC 9110 for stored bytes: ranges, preconditions, responses. Pure."""
