"""Policies in the formats of the sandboxes that people already use: one module for each."""
