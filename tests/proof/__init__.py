"""Proofs that what was promised survives crashes and power loss."""
