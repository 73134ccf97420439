"""The one place that names the version; pyproject.toml and STATS read it."""

__version__ = "0.1.0"
