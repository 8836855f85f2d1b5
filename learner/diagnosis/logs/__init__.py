"""Causes from what a log says, without running anything."""
