"""The probe's training at toy size: it learns, it resumes, and what it exports is the shipped format."""
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vortex
from evaluator.tasks import probe_curriculum as curriculum
from evaluator.tasks.probe_curriculum import LENGTHS, MIX, MIX_SHORT, Curriculum, lesson
from evaluator.tasks.vocabulary import ID

torch = pytest.importorskip("torch")

from evaluator.tasks.probe_exam import exam  # noqa: E402
from evaluator.tasks.probe_export import export  # noqa: E402
from evaluator.tasks.probe_loss import loss_and_shares  # noqa: E402
from evaluator.tasks.probe_model import ProbeModel, ProbeShape  # noqa: E402
from evaluator.tasks.train_probe import Recipe, Trainer  # noqa: E402

SHIPPED = Path(vortex.__file__).parent / "models" / "probe"
TINY = ProbeShape(width=32, layers=2, query_heads=2, kv_heads=1, head_dim=16, inner=64, positions=256)
RECIPE = Recipe(minutes=60, seed=1, tokens=512, lengths=(8, 12, 64), shape=TINY)


def test_the_loss_falls_within_a_few_steps() -> None:
    trainer = Trainer(RECIPE)
    losses = [trainer.step() for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    unbroken = Trainer(RECIPE)
    for _ in range(3):
        unbroken.step()
    unbroken.save(tmp_path / "checkpoint.pt")
    resumed = Trainer(replace(RECIPE, seed=2))
    resumed.load(tmp_path / "checkpoint.pt")
    assert [resumed.step() for _ in range(3)] == [unbroken.step() for _ in range(3)]
    assert (resumed.steps, resumed.tokens_seen) == (unbroken.steps, unbroken.tokens_seen)
    assert resumed.curriculum == unbroken.curriculum


@pytest.mark.parametrize("task", MIX)
@pytest.mark.parametrize("length", [64, 128, 512, 2048])
def test_lessons_have_their_length_and_something_to_predict(task: str, length: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        one = lesson(rng, task, length)
        assert len(one.words) == len(one.asked) == length
        assert any(one.asked)
        assert all(word in ID for word in one.words)


def test_mixes_are_shares() -> None:
    assert sum(MIX.values()) == pytest.approx(1)
    assert sum(MIX_SHORT.values()) == pytest.approx(1)
    assert set(MIX) == set(MIX_SHORT) == set(curriculum.MIX_LAST)


GATES = [
    (64, 61, dict.fromkeys(curriculum.GATES, 1.0), 0.0, True),
    (64, 60, dict.fromkeys(curriculum.GATES, 1.0), 0.0, False),
    (64, 61, {**dict.fromkeys(curriculum.GATES, 1.0), "chain": .98}, 0.0, False),
    (64, 61, {}, 0.19, True),
    (8, 41, {"stream": .96}, 0.0, True),
    (8, 41, {"stream": .94}, 0.9, False),
    (2048, 999, dict.fromkeys(curriculum.GATES, 1.0), 0.9, False),
]


@pytest.mark.parametrize(("length", "steps", "accuracy", "time_share", "goes_on"), GATES)
def test_a_length_is_left_when_learnt_or_when_its_time_is_over(
    length: int, steps: int, accuracy: Mapping[str, float], time_share: float, goes_on: bool
) -> None:
    here = Curriculum(place=LENGTHS.index(length), steps_here=steps, accuracy=dict(accuracy))
    assert here.advance(time_share) is goes_on
    assert here.place == LENGTHS.index(length) + goes_on


def test_values_of_one_key_are_right_in_any_order_but_only_once() -> None:
    text = "list alban : alban {} and alban {} and alban {} and alban {} ; <eos>"
    said, asked = text.format(2, 1, 4, 4).split(), text.format(1, 2, 3, 4).split()
    one = curriculum.Lesson("multivalue", tuple(asked), tuple(place > 2 for place in range(len(asked))))
    _, ((_, share),) = loss_and_shares(_Parrot(said), [one])
    assert share == pytest.approx(7 / 8)         # four keys and three values; 4 was still to be said at the third place


class _Parrot(ProbeModel):
    """A model that says a fixed text, whatever it reads."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(replace(TINY, width=ProbeShape().vocabulary))
        with torch.no_grad():
            self.lm_head.weight.copy_(torch.eye(self.shape.vocabulary))
        self.said = torch.tensor([ID[word] for word in words]).roll(-1)

    def forward(self, tokens: "torch.Tensor") -> "torch.Tensor":
        return 9.0 * torch.nn.functional.one_hot(self.said, self.shape.vocabulary)[None].float()


def test_an_untrained_model_passes_no_exam() -> None:
    assert set(exam(ProbeModel(TINY), 64, 2).values()) == {0.0}


def test_an_export_differs_from_the_shipped_folder_in_its_weights_alone(tmp_path: Path) -> None:
    export(ProbeModel(), tmp_path)
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert json.loads((tmp_path / name).read_text()) == json.loads((SHIPPED / name).read_text())
    assert (tmp_path / "model.safetensors").stat().st_size == (SHIPPED / "model.safetensors").stat().st_size
