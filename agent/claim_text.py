"""Reads what a model claims of its flow: from JSON, the arguments of a call, or labelled lines."""
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent.claims import OBJECTIVES, Claim, Direction, Prediction

MOST_TEXT = 2_000             # characters kept of a mechanism or of what refutes it
MOST_PREDICTIONS = 12
MOST_LINE = 4_000

LABELS: Mapping[str, str] = {
    "mechanism": "mechanism", "hypothesis": "mechanism", "why it works": "mechanism",
    "predictions": "prediction", "prediction": "prediction", "predicted": "prediction", "predicts": "prediction",
    "expected": "prediction",
    "refuted by": "refuted_by", "refuted_by": "refuted_by", "refuted if": "refuted_by", "refutation": "refuted_by",
    "falsified by": "refuted_by", "falsified if": "refuted_by", "would be refuted by": "refuted_by",
}
WORDS: Mapping[Direction, re.Pattern[str]] = {
    "same": re.compile("same|unchanged|equal|flat|neutral|constant|identical|stays"),
    "down": re.compile("down|falls?|drops?|decreases?|lower|worse|slower|less|fewer|loses?|smaller|reduces|shrinks|declines"),
    "up": re.compile("up|rises?|increases?|higher|improves?|better|faster|more|gains?|grows?|larger|doubles"),
}
MEANT = {"faster": "speed", "slower": "speed", "smaller": "bytes"}     # an objective that a direction names by itself
CALLED = {"throughput": "speed", "tokens": "speed", "decode": "speed", "bandwidth": "bytes", "memory": "bytes",
          "traffic": "bytes", "recall": "accuracy", "quality": "accuracy", "score": "accuracy"}
INVERSE = ("latency", "time")          # less of it is more speed
OPPOSITE: Mapping[Direction, Direction] = {"up": "down", "down": "up", "same": "same"}
FILLERS = re.compile("the|an?|of|by|at|about|roughly|will|be|should|is|are|to|in|on|goes?|it|and|expect(?:ed)?")
WORD = re.compile(r"[a-z][a-z0-9_.-]*", re.IGNORECASE)
AMOUNT = re.compile(r"([+\u2212-]?)\s?(\d+(?:\.\d+)?)\s?(%|x\b)?")
FROM_TO = re.compile(r"\bfrom (\d+(?:\.\d+)?)(%?) to (\d+(?:\.\d+)?)(%?)")
CLAUSES = re.compile(r"[;\n]|,(?!\d)|\band\b|\bwhile\b|\bbut\b")


def claim_from(body: Mapping[str, Any]) -> Claim | None:
    """The claim of a JSON object or of the arguments of a call; None where it holds none of the three parts."""
    named = {LABELS.get(re.sub("[_-]", " ", str(name).lower()), str(name).lower()): value for name, value in body.items()}
    mechanism, refuted_by = _short(named.get("mechanism")), _short(named.get("refuted_by"))
    prediction = tuple(predictions(named.get("prediction")))[:MOST_PREDICTIONS]
    if not (mechanism or prediction or refuted_by):
        return None
    return Claim(mechanism=mechanism, prediction=prediction, refuted_by=refuted_by)


def claim_in(text: str) -> Claim | None:
    """The claim of labelled lines: `Mechanism: ...`, `**Prediction**: ...`, `## Refuted by` and what follows."""
    parts: dict[str, list[str]] = {}
    at: list[str] | None = None
    for line in text.splitlines():
        found = _labelled(line[:MOST_LINE])
        if found is not None:
            at = parts.setdefault(found[0], [])
            at.append(found[1])
        elif at is not None and line.strip() and not line.lstrip().startswith(("#", "```", "~~~")):
            at.append(line.strip())
        elif any(at or []) or line.strip():
            at = None
    return claim_from({name: "\n".join(line for line in lines if line) for name, lines in parts.items()})


def _labelled(line: str) -> tuple[str, str] | None:
    """The part that a line opens, and what it says of it."""
    bare = line.lstrip(" \t>#*-_`").lstrip("0123456789").lstrip(".) \t*_`")
    low = bare.lower()
    label = next((label for label in LABELS if low.startswith(label)), None)
    if label is None:
        return None
    rest = bare[len(label):].lstrip(" *_`")
    if rest and rest[0] not in ":-=\u2013\u2014":
        return None
    return LABELS[label], rest.lstrip(":-=\u2013\u2014 *_`").rstrip()


def _short(value: object) -> str:
    return " ".join(value.split())[:MOST_TEXT] if isinstance(value, str) else ""


def predictions(value: object) -> Iterator[Prediction]:
    """Predictions in any of the forms in which models give them: text, objects, triples, {objective: change}."""
    if isinstance(value, str):
        yield from _of_text(value[:MOST_LINE])
    elif isinstance(value, Mapping) and "objective" in value:
        yield from _of_parts(value["objective"], value.get("direction"), value.get("amount"))
    elif isinstance(value, Mapping):
        for objective, change in value.items():
            if isinstance(change, Mapping):
                yield from _of_parts(objective, change.get("direction"), change.get("amount"))
            else:
                yield from _of_parts(objective, change, None)
    elif isinstance(value, list | tuple):
        if len(value) in (2, 3) and isinstance(value[0], str) and str(value[1]).lower() in WORDS:
            yield from _of_parts(value[0], value[1], value[2] if len(value) == 3 else None)
        else:
            for part in value[:MOST_PREDICTIONS]:
                yield from predictions(part)


def _of_parts(objective: object, direction: object, amount: object) -> Iterator[Prediction]:
    change = f"{direction:+g}" if isinstance(direction, int | float) and not isinstance(direction, bool) else str(direction)
    given = _number(amount)
    for said in _of_text(f"{objective} {change}"):
        yield said if given is None else said._replace(amount=given)
        return


def _number(value: object) -> float | None:
    if isinstance(value, str):
        found = AMOUNT.search(value)
        return _amount(found) if found is not None else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return abs(float(value))
    return None


def _amount(found: re.Match[str]) -> float:
    return round(float(found[2]) / (100 if found[3] == "%" else 1), 12)


def _of_text(text: str) -> Iterator[Prediction]:
    last = ""
    for clause in CLAUSES.split(text):
        said = _clause(clause.strip().lower(), last)
        if said is not None:
            last = said.objective
            yield said


def _clause(clause: str, last: str) -> Prediction | None:
    """`accuracy up by 0.02`, `speed: +5%`, `faster`, `latency unchanged`, `retrieval from 0.6 to 0.7`."""
    words = WORD.findall(clause)
    said = next((word for word in words if any(known.fullmatch(word) for known in WORDS.values())), "")
    direction: Direction | None = next((name for name, known in WORDS.items() if known.fullmatch(said)), None)
    found, ends = AMOUNT.search(clause), FROM_TO.search(clause)
    amount = _amount(found) if found is not None else None
    if ends is not None:
        change = (float(ends[3]) - float(ends[1])) / (100 if ends[2] or ends[4] else 1)
        direction, amount = "up" if change > 0 else "down", round(abs(change), 12)
    elif direction is None and found is not None and found[1]:
        direction = "up" if found[1] == "+" else "down"
    elif clause.startswith("no ") and direction is not None:
        direction, words = "same", words[1:]
    if direction is None:
        return None
    known = [word for word in words if not FILLERS.fullmatch(word) and word != said]
    named = next((word for word in known if word in OBJECTIVES or word in CALLED or word in INVERSE), "")
    objective = named or MEANT.get(said, "") or (known[0] if known else last)
    if objective in INVERSE:
        objective, direction = "speed", OPPOSITE[direction]
    return Prediction(CALLED.get(objective, objective), direction, None if direction == "same" else amount) if objective else None


def json_objects(text: str) -> list[Mapping[str, Any]]:
    """The objects of a JSON text: one, or a list of them; none where it is not JSON."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [part for part in (body if isinstance(body, list) else [body]) if isinstance(part, Mapping)]
