"""What cannot be asked for is refused, with what can."""
from pathlib import Path

import pytest

from evaluator.tasks.door import find_task
from evaluator.tasks.reader import Reader
from evaluator.tasks.ruler.family import KINDS
from vortex.errors import CampaignError

NAMES = [
    ("ruler:niah_singel_1:4k", "no task 'niah_singel_1'", "ruler:niah_single_1:4k"),
    ("ruler:all:4k", "no task 'all'", ", ".join(KINDS)),
    ("ruler", "no preset ruler", ""),
    ("ruler-faithfull:vt:4k", "no family", "ruler-faithful"),
    ("ruler:vt", "'' is no length", "4k, 8k, 16k"),
    ("ruler:vt:long", "'long' is no length", "4k, 8k, 16k"),
    ("ruler:vt:0.5k", "'0.5k' is no length", "from 512"),
    ("ruler:vt:256", "'256' is no length", "from 512"),
    ("ruler:vt:4k:essays", "no source 'essays'", "vt takes none"),
    ("ruler:qa_1:4k:hotpotqa", "no source 'hotpotqa'", "qa_1 takes :squad"),
    ("ruler:niah_single_2:4k:books", "no source 'books'", "takes :essays"),
    ("ruler:niah_single_1:4k:essays", "no source 'essays'", "takes none"),
]


@pytest.mark.parametrize(("name", "message", "hint"), NAMES, ids=[row[0] for row in NAMES])
def test_a_name_that_is_none(name: str, message: str, hint: str) -> None:
    with pytest.raises(CampaignError, match=message) as caught:
        find_task(name)
    assert hint in caught.value.hint


def refused(name: str, reader: Reader) -> CampaignError:
    with pytest.raises(CampaignError) as caught:
        find_task(name).samples(1, 1, reader)
    assert name in caught.value.message
    return caught.value


def test_a_length_that_the_model_does_not_read(reader: Reader) -> None:
    error = refused("ruler:vt:512k", reader)
    assert "asks for 524288 tokens" in error.message and "reads at most 262144" in error.message
    assert "512 to 262144" in error.hint


def test_a_tokenizer_that_does_not_know_the_words() -> None:
    error = refused("ruler:niah_single_2:1k", Reader("probe", "embedded"))
    assert "tokenizer mismatch: probe cannot spell" in error.message


@pytest.mark.parametrize("name", ["ruler-faithful:cwe:512", "ruler-faithful:niah_single_2:512", "ruler-faithful:qa_1:512"])
def test_a_length_at_which_the_published_generator_never_ends(name: str, reader: Reader) -> None:
    assert "the fewest that the published generator makes, is too long" in refused(name, reader).message


def test_a_model_that_is_to_think(thinker: Reader) -> None:
    assert "thinking = false" in refused("ruler:vt:1k", Reader(thinker.model, "embedded", thinking=True)).hint
    prompt = find_task("ruler:vt:1k").samples(1, 1, Reader(thinker.model, "embedded", thinking=False))[0].prompt
    assert "<think>\n\n</think>\n\nThe number" in prompt


def test_essays_of_a_folder_without_any(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VORTEX_RULER_DATA", str(tmp_path))
    with pytest.raises(CampaignError, match=r"holds no essays\.txt or essays\.jsonl"):
        find_task("ruler:niah_single_2:1k:essays")
    (tmp_path / "essays.txt").write_text("  \n")
    with pytest.raises(CampaignError, match="hold no words"):
        find_task("ruler:niah_single_2:1k:essays").samples(1, 1, Reader("probe", "embedded"))
