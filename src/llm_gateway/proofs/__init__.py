"""Proofs: what `llm-gateway verify` shows of each capability. The rooms name them; see `services.base.Proof`."""
