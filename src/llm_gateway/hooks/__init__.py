"""Code that LiteLLM calls inside the gateway's workers: the standard library, httpx and LiteLLM's callback protocol."""
