"""`python -m rushes_cli`: the same as `rushes`."""

from rushes_cli.main import app

app()
