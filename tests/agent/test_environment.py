"""What an environment record says of what was measured: tasks and model by their contents."""
from dataclasses import replace

import pytest

from agent.campaign import Campaign
from agent.environment import environment, measured
from tests.agent.asking import campaign
from vortex.serving.identity import identity


@pytest.fixture
def made() -> Campaign:
    return campaign({"kind": "evolve"})


def test_it_holds_the_tasks_and_the_model_by_their_contents(made: Campaign) -> None:
    record = measured(made)
    assert record.items() >= environment().items()
    assert (record["model"], record["identity"]) == (made.point.model, identity(made.point.model))
    assert record["tasks"] and all(record["tasks"].values())


def test_a_model_that_does_not_lie_here_has_no_identity(made: Campaign) -> None:
    assert measured(replace(made, point=made.point.with_(model="nobody/has-this")))["identity"] == ""
