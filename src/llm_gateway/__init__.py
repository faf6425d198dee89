"""From nothing to a LiteLLM gateway in which every enabled capability demonstrably works."""

__version__ = "0.1.0"
