"""Names the services: every folder of services/ that is a project of its own."""

from __future__ import annotations

from pathlib import Path


def services_in(root: Path) -> tuple[str, ...]:
    """Their names. A folder that another branch has left behind is none."""
    return tuple(sorted(project.parent.name for project in (root / "services").glob("*/pyproject.toml")))


ROOT = Path(__file__).resolve().parent.parent
SERVICES = services_in(ROOT)
