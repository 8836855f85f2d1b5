"""docs/targets.md says of every target what the target itself says. After a change:

SBX_GOLDEN=1 pytest tests/targets/test_docs.py
"""

import os
from pathlib import Path

from learner.targets.feature import Feature
from learner.targets.table import TARGETS, find

DOCS = Path(__file__).parents[2] / "docs/targets.md"
BEGIN, END = "do not edit -->\n", "<!-- end -->"
SHELLS = {"bash", "fish", "zsh"}


def generated() -> str:
    """The table of features and targets, and each target's list of what comes instead."""
    names = sorted({*TARGETS} - SHELLS)
    rows = [["", *(f"`{name}`" for name in names), "shells"], ["---"] * (len(names) + 2)]
    for feature in Feature:
        lacking = ["–" if feature in find(name).lacks else "yes" for name in names]
        rows.append([feature.value, *lacking, "yes"])
    text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    for name in names:
        reasons: dict[str, list[str]] = {}
        for feature, reason in find(name).lacks.items():
            reasons.setdefault(reason, []).append(feature.value)
        text += f"\n**`{name}`**\n\n" if reasons else ""
        text += "".join(f"- {', '.join(features)}: {reason}\n" for reason, features in reasons.items())
    return text


def test_the_table_is_up_to_date() -> None:
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    written, _, after = rest.partition(END)
    if os.environ.get("SBX_GOLDEN"):
        written = generated()
        DOCS.write_text(before + BEGIN + written + END + after, encoding="utf-8")
    assert written == generated()


def test_every_target_is_described() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in TARGETS if f"`{name}`" not in text.partition(BEGIN)[0]] == []


def test_names_and_places_agree() -> None:
    assert {name: find(name).name for name in TARGETS} == {name: name for name in TARGETS}
    assert list(TARGETS) == sorted(TARGETS)
