"""HTTP servers that speak `servicekit.errors`, carry the trace and drain before they stop."""
