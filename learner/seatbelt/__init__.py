"""The macOS sandbox without a Mac: its language (SBPL), a policy written in it, and a judge of what it admits. Pure."""
