"""A stand-in for a Langfuse server, as far as LiteLLM 1.106.2, the Langfuse SDK 4 and the kit speak with it.

It follows the server of version 4.16.0: the same routes, refusals and field names, the same reading of OpenTelemetry
attributes for what LiteLLM and the SDK send, three write modes, and an ingestion that answers before anything can be
read. It has no UI, no prices (a cost that nobody sent stays unknown), no prompts and no media.
"""

from doubles.langfuse.projects import Project, StartRefusedError, seed
from doubles.langfuse.server import Langfuse

__all__ = ["Langfuse", "Project", "StartRefusedError", "seed"]
