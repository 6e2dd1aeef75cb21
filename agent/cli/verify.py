"""`vortex verify DIR`: reruns a bundle here and says whether it is as good as its manifest."""
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import Json, Unsafe
from agent.cli.text import to_json
from agent.single import judge_bundle
from agent.stop import Stopped
from agent.watch import Quiet
from evaluator import sandbox
from evaluator.report import Status
from search.compare import as_good_as
from search.export import read_bundle
from search.store.archive import open_archive


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `vortex export` wrote.")],
    json: Json = False,
    unsafe: Unsafe = False,
) -> None:
    """Rerun an exported candidate through the stages of its campaign, on the same tasks and the same model.

    Exit code 1 when it is worse here beyond doubt.
    """
    if unsafe:
        sandbox.allow_unsafe()
    bundle = read_bundle(folder)
    with tempfile.TemporaryDirectory(prefix="vortex-verify-") as room:
        archive = open_archive(Path(room) / "verify.db")
        try:
            entry = judge_bundle(bundle, archive, Quiet())
        except Stopped:
            raise typer.Exit(130) from None
        finally:
            archive.close()
    verdicts = as_good_as(bundle, entry)
    holds = entry.candidate.status is Status.OK and all(verdict.holds for verdict in verdicts)
    if json:
        print(to_json({"ok": holds, "status": entry.candidate.status,
                       "metrics": [{"metric": v.metric, "holds": v.holds, "text": v.text} for v in verdicts]}))
    else:
        print("\n".join(verdict.text for verdict in verdicts))
        print(f"{bundle.manifest.name} is as good as its manifest says." if holds else
              f"{bundle.manifest.name} is not as good here as its manifest says (it ended {entry.candidate.status}).")
    if not holds:
        raise typer.Exit(1)
