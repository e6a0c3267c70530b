"""Parity: every live number beside batch's, and why they differ."""
