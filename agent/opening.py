"""How a campaign meets the archive: entered as new, gone on with as it was, refused when its file has changed."""
import json
from collections.abc import Mapping
from typing import Any

from agent.campaign import Campaign, differences, from_json
from search.store.archive import Archive
from search.store.convert import CampaignRecord
from vortex.errors import CampaignError

EVENT = "measures"
FORM = "2"                            # of what is kept: 1 knew models by the sizes of their weights, and tasks of fewer stages


def enter(archive: Archive, campaign: Campaign) -> CampaignRecord:
    """The campaign's record. Raises CampaignError, showing the differences, when the name stands for other settings."""
    settings = json.loads(json.dumps(campaign.to_json()))
    record = archive.campaign(campaign.name)
    if record is None:
        return archive.create_campaign(campaign.name, campaign.text, settings, campaign.seed)
    changed = list(differences(record.settings, settings))
    if changed:
        listed = "\n".join(f"  {line}" for line in changed)
        raise CampaignError(f"campaign {campaign.name} was started with other settings:\n{listed}",
                            hint=f"Go on as it was: vortex resume {campaign.name}\n"
                                 "Or run the new one under another name: --set campaign.name=...")
    return record


def hold_to(archive: Archive, campaign: str, measured: Mapping[str, Any]) -> None:
    """Keeps what tasks and model hold when the campaign is first run. Raises CampaignError where that is no longer so.

    `measured` as of agent/environment.py. A campaign that an earlier version began is held to what that one kept.
    """
    tasks = {f"task {name}": told for name, told in measured["tasks"].items()}
    now = {"form": FORM, "model": measured["identity"], **tasks}
    kept = next((event.data for event in archive.events(campaign) if event.kind == EVENT), None)
    if kept is None:
        archive.event(campaign, EVENT, now)
        return
    if "form" not in kept:
        now = {name: told for name, told in {"model": measured["identity_by_sizes"], **tasks}.items() if name in kept}
    changed = [f"  {name}: {kept.get(name, 'absent')} then, {now.get(name, 'absent')} now"
               for name in sorted({*kept, *now}) if kept.get(name) != now.get(name)]
    if changed:
        listed = "\n".join(changed)
        raise CampaignError(f"what campaign {campaign} measures by has changed since it began:\n{listed}",
                            hint="Put back what it was, or start anew under another name: --set campaign.name=...")


def reopen(archive: Archive, name: str) -> Campaign:
    """The campaign as the archive keeps it. Raises CampaignError when there is none of this name."""
    record = recorded(archive, name)
    return from_json(record.settings, record.name, record.text)


def recorded(archive: Archive, name: str | None) -> CampaignRecord:
    """A campaign by name, the latest one without. Raises CampaignError."""
    found = archive.latest_campaign() if name is None else archive.campaign(name)
    if found is None:
        names = ", ".join(one.name for one in archive.campaigns())
        what = "there is no campaign yet" if name is None else f"there is no campaign {name!r} here"
        raise CampaignError(what, hint=f"Campaigns here: {names}." if names else "Start one: vortex run quickstart")
    return found


def spent_s(archive: Archive, name: str) -> float:
    """Seconds that runs of the campaign took so far, but for what a kill cut off."""
    return sum(float(event.data["seconds"]) for event in archive.events(name) if event.kind == "spent")
