"""Presidio's analyzer and anonymizer as one small server process with the HTTP API of the official containers.

It runs in a venv of its own that has Presidio and not the kit, so these modules import each other, the standard library
and what `requirements/presidio.in` names, and nothing else of the kit.
"""
