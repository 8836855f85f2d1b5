"""Sandboxes of the user's own, in which a command is diagnosed: one module for each."""
