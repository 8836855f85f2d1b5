"""The audit: an agent's own configuration, the project, and what the kernel policy and the configuration leave open."""
