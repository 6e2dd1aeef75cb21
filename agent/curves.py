"""The known algorithms at the points that candidates were found at: nothing is better for having been given another budget."""
from collections.abc import Collection, Iterable, Sequence

from search.candidate import Candidate, Draft


def beside(candidates: Iterable[Candidate], controls: Sequence[Candidate], algorithms: Collection[int],
           knobs: Sequence[str]) -> list[Draft]:
    """Those of `controls` that are `algorithms`, by their ids, at each setting of the knobs that one of `candidates` has; in
    places of round 0 behind all controls, and without what stands there. Dense is the same at each."""
    known = {(one.flow.hash, one.point.hash) for one in controls}
    slot = 1 + max((one.slot for one in controls), default=-1)
    drafts: list[Draft] = []
    for candidate in candidates:
        values = {name: getattr(candidate.point, name) for name in knobs}
        for control in (one for one in controls if one.id in algorithms and not one.is_dense):
            point = control.point.with_(**values)
            if (control.flow.hash, point.hash) not in known:
                known.add((control.flow.hash, point.hash))
                drafts.append(Draft(campaign=control.campaign, round=0, slot=slot + len(drafts), name=control.name,
                                    flow=control.flow, point=point, author=control.author, tier="control"))
    return drafts
