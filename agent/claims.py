"""A Claim: what an idea says before it is measured, in a form that measurement can answer."""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

Direction: TypeAlias = Literal["up", "down", "same"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
OBJECTIVES: Mapping[str, str] = {
    "accuracy": "the mean over the tasks of all accuracy stages, in [0, 1]; an amount is a difference: 0.02",
    "retrieval": "the accuracy of that stage alone",
    "chain": "the accuracy of that stage alone",
    "speed": "decode speed as a multiple of dense; an amount is a relative change: 0.1 is a tenth faster",
    "bytes": "what a decode step reads; an amount is a relative change: 0.5 down is half",
}


class Prediction(NamedTuple):
    """Which objective moves which way against what it was made of; `amount` is by how much at least, None: unsaid."""

    objective: str
    direction: Direction
    amount: float | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Why a change should help, what will be seen if it does, and what would show that it does not (in words)."""

    mechanism: str
    prediction: tuple[Prediction, ...] = ()
    refuted_by: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"mechanism": self.mechanism, "prediction": [list(one) for one in self.prediction],
                "refuted_by": self.refuted_by}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Claim":
        return Claim(mechanism=body["mechanism"], prediction=tuple(Prediction(*one) for one in body["prediction"]),
                     refuted_by=body["refuted_by"])
