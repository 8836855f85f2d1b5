import json
from pathlib import Path

from hypothesis import given
from samples import VARIABLES, VIBE, profiles

from learner.profile import Profile
from reports.profile_json import profile_record

GOLDEN = Path(__file__).parents[2] / "fixtures/golden/show.json"


def test_the_record_is_golden() -> None:
    assert profile_record(VIBE, VARIABLES) == json.loads(GOLDEN.read_text())


@given(profiles)
def test_every_profile_is_json(profile: Profile) -> None:
    json.dumps(profile_record(profile, VARIABLES), ensure_ascii=False).encode()
