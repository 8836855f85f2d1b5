"""The list of the audit's rules as markdown, for docs/audit.md: generated, so that it cannot fall behind."""

from learner.audit.audit import every_rule

BEGIN, END = "<!-- rules: begin -->", "<!-- rules: end -->"


def rules_table() -> str:
    """A table of every rule: its id, severity, what it finds and why, how it is mended."""
    lines = ["| rule | severity | finds | why | how to mend |", "|---|---|---|---|---|"]
    lines += [
        f"| `{id_}` | {severity} | {title} | {why} | {mend} |" for id_, severity, title, why, mend in every_rule()
    ]
    return "\n".join(line.replace("<", "&lt;") for line in lines) + "\n"


def with_rules(page: str) -> str:
    """``page`` with the table between its two markers brought up to date. Raises ValueError without them."""
    before, rest = page.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{rules_table()}{END}{after}"
