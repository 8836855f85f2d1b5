"""Enforcers: each turns a policy into a confined launch and says what it cannot hold."""
