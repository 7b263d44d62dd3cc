"""One module a command of `rushes`."""
