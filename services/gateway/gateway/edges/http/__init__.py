"""The HTTP surface: what is transcoded from the contracts, and what is written by hand."""
