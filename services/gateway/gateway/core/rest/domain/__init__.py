"""Path templates and limits of JSON bodies. Pure."""
