"""A flow judged on its own runs in a campaign that is named after the one whose stages it takes."""
import re
from dataclasses import replace

from agent.campaign import load
from agent.single import campaign_for


def test_it_is_named_after_that_campaign_and_apart_by_its_point() -> None:
    like = load("smoke")
    one, other = campaign_for(like, None), campaign_for(like, like.point.with_(topk_ratio=0.5))
    assert one.name != other.name
    assert all(re.fullmatch("eval-smoke-[0-9a-f]{6}", found.name) for found in (one, other))


def test_the_longest_name_gives_one_that_a_file_may_have() -> None:
    name = campaign_for(replace(load("smoke"), name="n" * 64), None).name
    assert re.fullmatch(r"[A-Za-z0-9][\w.\-]{0,63}", name)
