"""Every service, in the order in which `.env`, `status` and the summary name them."""

from __future__ import annotations

from llm_gateway.services.gateway import GATEWAY
from llm_gateway.services.langfuse import LANGFUSE
from llm_gateway.services.later import LATER
from llm_gateway.services.postgres import POSTGRES
from llm_gateway.services.presidio import PRESIDIO
from llm_gateway.services.prometheus import PROMETHEUS
from llm_gateway.services.redis import REDIS

SERVICES = (POSTGRES, REDIS, LANGFUSE, PRESIDIO, PROMETHEUS, *LATER, GATEWAY)
BY_ID = {service.id: service for service in SERVICES}
