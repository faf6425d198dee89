"""From a Python and a network to the kit's virtual environments.

Runs before anything is installed, so everything here imports the standard library only
(besides `llm_gateway.errors` and `llm_gateway.progress`, which do the same).
"""
