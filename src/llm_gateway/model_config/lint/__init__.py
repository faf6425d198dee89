"""Find mistakes in a model config before LiteLLM meets them. Imports neither LiteLLM nor pydantic: it must be quick."""
