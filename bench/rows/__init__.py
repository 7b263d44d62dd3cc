"""One script per row of the table: each measures, none asserts."""
