"""`vortex mcp`: the tools of a campaign for a coding agent, over the Model Context Protocol."""
from pathlib import Path
from typing import Annotated

import typer

from agent import campaign as campaigns
from agent.campaign import Campaign
from agent.cli.options import DEFAULT_DB, Db
from agent.opening import enter, reopen
from agent.prepare import prepare
from search.store.archive import Archive, open_archive
from vortex.errors import MissingExtra


def command(
    campaign: Annotated[str, typer.Option(help="A campaign of the archive; else a TOML file, or the name of a shipped one.")],
    db: Db = DEFAULT_DB,
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds that `submit` waits for the result.")] = 45.0,
) -> None:
    """Serve one campaign to an agent: it reads, checks, compares and submits flows; they are judged here, within the
    campaign's budget, and stored like any candidate. Speaks MCP on stdin and stdout; AGENTS.md tells an agent how."""
    try:
        from agent.mcp import Served, serve  # half a second that only this command pays
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed", hint="pip install 'vortex-platform[agents]'") from None
    if "://" not in db and not Path(db).exists():
        campaigns.find(campaign)      # for a name that stands for nothing no database is made
    archive = open_archive(db)
    chosen = _campaign(archive, campaign)
    serve(Served(campaign=chosen, ready=prepare(chosen), archive=archive, wait_s=wait))


def _campaign(archive: Archive, name: str) -> Campaign:
    """Raises CampaignError."""
    if archive.campaign(name) is not None:
        return reopen(archive, name)
    chosen = campaigns.load(name)
    enter(archive, chosen)
    return chosen
