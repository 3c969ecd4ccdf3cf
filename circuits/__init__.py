"""Quantum circuits (placeholder until the lead finishes)."""
