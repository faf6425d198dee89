"""Code that LiteLLM runs inside the gateway's workers: callbacks that the effective config names."""
