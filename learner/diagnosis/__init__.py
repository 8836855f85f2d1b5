"""Why a confined command failed: one root cause, the chain that leads to it, and the smallest grant that mends it."""
