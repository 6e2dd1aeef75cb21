"""Trains the probe from scratch on a CPU: `python -m evaluator.tasks.train_probe --out FOLDER --minutes 34`.

Run again with the same folder it goes on where it stood. Muon (Jordan et al., 2024) on the layers' matrices, AdamW on
the rest; the schedule follows the clock, so another machine ends with other weights.
"""
import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluator.tasks.probe_curriculum import LENGTHS, Curriculum
from evaluator.tasks.probe_exam import exam
from evaluator.tasks.probe_export import export
from evaluator.tasks.probe_loss import loss_and_shares
from evaluator.tasks.probe_model import ProbeModel, ProbeShape

EXAM_LENGTH_MAX = 512
LOG_EVERY_S, SAVE_EVERY_S = 20.0, 240.0


@dataclass(frozen=True)
class Recipe:
    """`minutes` of wall time; the rates of Muon and AdamW; `decay`: the share of the time in which they fall."""

    minutes: float = 34.0
    seed: int = 0
    tokens: int = 4096
    matrix_rate: float = 0.02
    rate: float = 5e-3
    decay: float = 0.28
    lengths: tuple[int, ...] = LENGTHS
    shape: ProbeShape = field(default_factory=ProbeShape)


class Trainer:
    """A training that stands somewhere: take steps, save, go on."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.rng = np.random.default_rng(recipe.seed)
        self.model = ProbeModel(recipe.shape)
        self.curriculum = Curriculum(recipe.lengths, recipe.tokens)
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(self.model.matrices(), lr=recipe.matrix_rate, momentum=0.95, weight_decay=0.01),
            torch.optim.AdamW(self.model.others(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        )
        self.steps, self.tokens_seen, self.elapsed_s = 0, 0, 0.0

    @property
    def time_share(self) -> float:
        return self.elapsed_s / (self.recipe.minutes * 60)

    @property
    def rate_share(self) -> float:
        """The rates' factor: fifty steps of warm-up, and the fall at the end."""
        fall = max(0.02, (1 - self.time_share) / self.recipe.decay)
        return min(1.0, (self.steps + 1) / 50) * min(1.0, fall)

    def step(self) -> float:
        """One batch; returns its loss."""
        started_s = time.monotonic()
        lessons = self.curriculum.lessons(self.rng)
        length = len(lessons[0].words)
        loss, shares = loss_and_shares(self.model, lessons)
        for optimizer, rate in zip(self.optimizers, (self.recipe.matrix_rate, self.recipe.rate), strict=True):
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = rate * self.rate_share
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.steps += 1
        self.tokens_seen += len(lessons) * length
        self.curriculum.learn(length, shares)
        self.elapsed_s += time.monotonic() - started_s
        return loss.item()

    def save(self, path: Path) -> None:
        """All that the next step depends on, replaced in one move."""
        state = {"model": self.model.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers],
                 "rng": self.rng.bit_generator.state, "curriculum": asdict(self.curriculum),
                 "counts": (self.steps, self.tokens_seen, self.elapsed_s)}
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Goes on from what `save` wrote."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.rng.bit_generator.state = state["rng"]
        self.curriculum = Curriculum(**state["curriculum"])
        self.steps, self.tokens_seen, self.elapsed_s = state["counts"]


class Log:
    """Progress as lines of JSON in a file and of text on stderr."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, trainer: Trainer, event: str, facts: Mapping[str, Any]) -> None:
        head = {"event": event, "elapsed_s": round(trainer.elapsed_s, 1), "step": trainer.steps,
                "tokens": trainer.tokens_seen, "length": trainer.curriculum.length}
        with self.path.open("a") as stream:
            stream.write(json.dumps(head | dict(facts)) + "\n")
        text = " ".join(f"{key} {value}" for key, value in (head | dict(facts)).items())
        print(text, file=sys.stderr, flush=True)


def train(trainer: Trainer, out: Path, log: Log) -> None:
    """Steps until the time is used up; saves on the way and exports at the end."""
    checkpoint = out / "checkpoint.pt"
    logged_s = saved_s = trainer.elapsed_s
    while trainer.time_share < 1:
        loss = trainer.step()
        if trainer.curriculum.advance(trainer.time_share):
            log.write(trainer, "advance", {})
        if trainer.elapsed_s - logged_s > LOG_EVERY_S:
            logged_s = trainer.elapsed_s
            accuracy = {task: round(share, 3) for task, share in sorted(trainer.curriculum.accuracy.items())}
            facts = {"loss": round(loss, 4), "rate": round(trainer.rate_share, 3), "accuracy": accuracy}
            log.write(trainer, "step", facts)
        if trainer.elapsed_s - saved_s > SAVE_EVERY_S:
            saved_s = trainer.elapsed_s
            trainer.save(checkpoint)
            length = min(EXAM_LENGTH_MAX, trainer.curriculum.length)
            if length >= 64:
                log.write(trainer, "exam", {"at": length, "exact": exam(trainer.model, length, 16)})
    trainer.save(checkpoint)
    export(trainer.model, out)
    for length in (512, 1024):
        log.write(trainer, "last exam", {"at": length, "exact": exam(trainer.model, length, 32)})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the probe model from scratch.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and its checkpoint")
    parser.add_argument("--minutes", type=float, default=34, help="wall time of training (default 34)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--progress", type=Path, help="file of progress lines (default OUT/progress.jsonl)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(Recipe(minutes=args.minutes, seed=args.seed))
    if (args.out / "checkpoint.pt").exists():
        trainer.load(args.out / "checkpoint.pt")
    log = Log(args.progress or args.out / "progress.jsonl")
    log.write(trainer, "start", {"minutes": args.minutes, "seed": args.seed, "threads": args.threads})
    train(trainer, args.out, log)


if __name__ == "__main__":
    main()
