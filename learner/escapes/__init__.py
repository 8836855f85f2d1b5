"""Escapes: ways out of a confinement, each tried for real under the enforced policy (``sbx verify --all``)."""
