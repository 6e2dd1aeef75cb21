"""Campaign files: what is refused, where and with which words; settings from the command line; JSON both ways."""
from pathlib import Path

import pytest

from agent import campaign as campaigns
from agent.campaign import DEFAULT_STAGES, SHIPPED, differences, from_json, load
from agent.single import read_point
from vortex.config import OperatingPoint
from vortex.errors import CampaignError, VortexError
from vortex.policy_reader import HINT

GOOD = """[campaign]
name = "mine"
seed = 7

[budget]
candidates = 8

[point]
model = "probe"
topk_ratio = [0.0625, 0.125, 0.25]

[[proposer]]
kind = "evolve"

[[stage]]
name    = "retrieval"
samples = 4
"""

SETTINGS = ", ".join(OperatingPoint.model_fields) + "."

# what is replaced, by what, the line of the mistake, the report but for its first line's path
MISTAKES = [
    ("seed = 7", "sed = 7", 3,
     "CampaignError\n    sed = 7\n  unknown key 'sed' in [campaign]\n"
     "  Did you mean 'seed'? Allowed in [campaign]: name, goal, seed, controls, seeds, plateau, prompts, duplicates."),
    ("[budget]", "[budgets]", 5,
     "CampaignError\n    [budgets]\n  unknown key 'budgets' in the file\n"
     "  Did you mean 'budget'? Allowed in the file: campaign, budget, point, proposer, stage."),
    ("candidates = 8", "candidates = 0", 6,
     "CampaignError\n    candidates = 0\n  [budget] candidates: input should be greater than or equal to 1\n"
     "  Leave candidates out for its default, 32."),
    ("candidates = 8", 'candidates = "8"', 6,
     "CampaignError\n    candidates = \"8\"\n  [budget] candidates: input should be a valid integer\n"
     "  Leave candidates out for its default, 32."),
    ('name = "mine"\n', "", 1,
     "CampaignError\n    [campaign]\n  [campaign] name: field required\n  name is required."),
    ("topk_ratio = [0.0625, 0.125, 0.25]", "topk_ration = 0.1", 10,
     "CampaignError\n    topk_ration = 0.1\n  unknown key 'topk_ration' in [point]\n"
     "  Did you mean 'topk_ratio'? Allowed in [point]: " + SETTINGS),
    ("[0.0625, 0.125, 0.25]", "[]", 10,
     "CampaignError\n    topk_ratio = []\n  [point] topk_ratio: a knob needs at least one value"),
    ("[0.0625, 0.125, 0.25]", "[0.125, 7.0]", 10,
     "PointError\n    topk_ratio = [0.125, 7.0]\n  topk_ratio: Input should be less than or equal to 1\n"
     "  Settings: " + SETTINGS),
    ("[0.0625, 0.125, 0.25]", '[0.1]\nschedule_policy = "return 1 +\\n rate;"', 11,
     "BudgetError\n    schedule_policy = \"return 1 +\\n rate;\"\n"
     "  rate is not declared (line 2 of schedule_policy)\n  " + HINT),
    ('kind = "evolve"', 'kind = "evolv"', 12,
     "CampaignError\n    [[proposer]]\n  there is no proposer 'evolv'\n  Did you mean 'evolve'? "
     "Kinds: evolve, one-shot, reflective, merge, scientist, knobs, copies."),
    ('kind = "evolve"', 'kind = "evolve"\ncrossovr = 0.1', 12,
     "CampaignError\n    [[proposer]]\n  evolve: crossovr: extra inputs are not permitted\n"
     "  Settings of evolve: crossover, turn, seeds, tries."),
    ("samples = 4", "sample = 4", 15,
     "CampaignError\n    [[stage]]\n  stage retrieval has no setting sample\n  Did you mean samples?"),
    ('"retrieval"', '"retrival"', 15,
     "CampaignError\n    [[stage]]\n  there is no stage retrival\n  Did you mean retrieval?"),
    ("samples = 4", 'samples = 4\n[[stage]]\nname = "retrieval"', 18,
     "CampaignError\n    [[stage]]\n  stage 'retrieval' stands twice\n  A stage runs once: merge the two."),
    ("seed = 7", 'seed = 7\ncontrols = ["dense", "qest"]', 4,
     'FlowNotFound\n    controls = ["dense", "qest"]\n  there is no flow \'qest\'\n  Did you mean quest?'),
    ("seed = 7", "seed = = 7", 3, "CampaignError\n    seed = = 7\n  not TOML: Invalid value"),
    ("seed = 7", "seed = 7\nseed = 8", 4, "CampaignError\n    seed = 8\n  not TOML: Cannot overwrite a value"),
    ('model = "probe"\n', "", 8,
     "CampaignError\n    [point]\n  [point] names no model, and there is no default one\n"
     '  Write model = "probe" for the small model that is shipped, or a folder or name of the hub.'),
    ('model = "probe"', 'model = ["probe", "Qwen/Qwen3-1.7B"]', 15,
     "CampaignError\n    [[stage]]\n  stage retrieval names no tasks, and there are no default ones for the model "
     "'Qwen/Qwen3-1.7B'\n"
     '  Name some: tasks = ["ruler:vt:4k"]; `vortex tasks` lists them.'),
]


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(("old", "new", "line", "report"), MISTAKES, ids=[new[:24] or old[:24] for old, new, *_ in MISTAKES])
def test_a_mistake_is_told_with_its_line_and_what_is_allowed(
        tmp_path: Path, old: str, new: str, line: int, report: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(VortexError) as caught:
        load(path)
    assert caught.value.report() == f"{path}:{line}  {report}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("setting", "message"), [
    ("budget.candidates", "not of the form table.key=value"),
    ("candidates=3", "not of the form table.key=value"),
    ("budget.candidates=[", "the value is not TOML"),
    ("budget.candidate=3", "unknown key 'candidate'"),
    ("stage.speed.steps=3", "there is no 'speed'"),
    ("campaign.name.first=3", "'name' has no keys under it"),
])
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(CampaignError, match=message.replace("(", r"\(")):
        load(written(tmp_path, GOOD), [setting])


def test_a_mistake_in_a_setting_is_placed_in_the_setting(tmp_path: Path) -> None:
    with pytest.raises(CampaignError) as caught:
        load(written(tmp_path, GOOD), ["budget.candidates=0"])
    assert (caught.value.where.path, caught.value.where.text) == ("--set", "budget.candidates=0")


def test_settings_from_the_command_line_replace_those_of_the_file(tmp_path: Path) -> None:
    settings = ["budget.candidates=3", "campaign.name=other", "point.topk_ratio=0.5", "stage.retrieval.samples=9",
                "proposer.0.weight=2.5"]
    found = load(written(tmp_path, GOOD), settings)
    assert (found.candidates, found.name, found.point.topk_ratio, found.knobs) == (3, "other", 0.5, ())
    assert found.stages[0].settings["samples"] == 9
    assert found.proposers[0].weight == 2.5


def test_a_list_in_the_point_is_a_knob_and_its_middle_value_the_point(tmp_path: Path) -> None:
    found = load(written(tmp_path, GOOD))
    assert found.knobs == (("topk_ratio", (0.0625, 0.125, 0.25)),)
    assert found.point.topk_ratio == 0.125


def test_a_list_of_layers_is_a_value_and_a_list_of_lists_a_knob(tmp_path: Path) -> None:
    one = load(written(tmp_path, GOOD), ["point.layers_skip=[0, 1]"])
    assert one.point.layers_skip == (0, 1)
    two = load(written(tmp_path, GOOD), ["point.layers_skip=[[], [0]]"])
    assert ("layers_skip", ((), (0,))) in two.knobs


def test_no_stage_and_no_proposer_mean_the_default_ones(tmp_path: Path) -> None:
    found = load(written(tmp_path, '[campaign]\nname = "bare"\n[point]\nmodel = "probe"\n'))
    assert tuple(stage.name for stage in found.stages) == DEFAULT_STAGES
    assert [proposer.kind for proposer in found.proposers] == ["evolve"]


OTHER = "point.model=Qwen/Qwen3-1.7B"


@pytest.mark.parametrize(("stages", "settings", "said"), [
    ("", [OTHER], "stage retrieval names no tasks"),
    ('name = "traces"', [OTHER], "stage traces names no tasks"), ('name = "audit"', [OTHER], "stage audit names no tasks"),
    ('name = "chain"', [OTHER], "stage chain names no tasks"), ('name = "numerics"', [OTHER], ""),
    ('name = "chain"', [OTHER, 'stage.chain.tasks=["math:small"]'], ""),
    ('name = "traces"\ntasks = ["multikey-512-full"]', [OTHER], ""), ('name = "traces"', ["point.model=probe"], ""),
])
def test_a_file_names_its_model_and_that_one_its_tasks(tmp_path: Path, stages: str, settings: list[str], said: str) -> None:
    path = written(tmp_path, '[campaign]\nname = "mine"\n' + (f"[[stage]]\n{stages}\n" if stages else ""))
    with pytest.raises(CampaignError, match="names no model"):
        load(path)
    if said:
        with pytest.raises(CampaignError, match=said) as caught:
            load(path, settings)
        assert caught.value.where.path == path and caught.value.where.line == (3 if stages else 0)
    else:
        assert load(path, settings).point.model == settings[0].removeprefix("point.model=")


def test_the_point_of_a_file_has_the_campaigns_model_unless_it_names_one(tmp_path: Path) -> None:
    file = tmp_path / "point.toml"
    file.write_text("topk_val = 5\n")
    stages = '[campaign]\nname = "mine"\n[[stage]]\nname = "chain"\ntasks = ["math:small"]\n'
    like = load(written(tmp_path, stages), [OTHER])
    assert read_point(file, like) == like.point.with_(topk_val=5)
    file.write_text('model = "Qwen/Qwen3-0.6B"\n')
    assert read_point(file, like).model == "Qwen/Qwen3-0.6B"
    with pytest.raises(CampaignError, match="stage retrieval names no tasks"):
        read_point(file, load(written(tmp_path, GOOD)))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_campaign_loads_by_bare_name_and_comes_back_from_its_json(path: Path) -> None:
    found = load(path.stem)
    again = from_json(found.to_json(), found.name)
    assert (again, again.hash) == (found, found.hash)
    assert load(f"experiments/{path.name}") == found


def test_an_unknown_campaign_names_the_nearest_one() -> None:
    with pytest.raises(CampaignError) as caught:
        campaigns.find("quickstrt")
    assert caught.value.hint.startswith("Did you mean 'quickstart'?")


def test_differences_name_every_setting_that_changed(tmp_path: Path) -> None:
    one = load(written(tmp_path, GOOD))
    other = load(written(tmp_path, GOOD), ["budget.candidates=9", "point.block_size=32"])
    assert list(differences(one.to_json(), other.to_json())) == [
        "budget.candidates: 8 -> 9", "point.block_size: 16 -> 32"]


@pytest.mark.parametrize(("line", "fixed", "knob"), [
    ("layers_skip = [0, 2]", (0, 2), None), ("layers_skip = [[0], [1]]", (1,), ((0,), (1,))),
    ("topk_layers = [4, 8]", (4, 8), None), ("topk_layers = [[4, 8], 2]", ((4, 8), 2), None),
    ("topk_layers = [[[1], [2]], [[3], 4]]", ((3,), 4), (((1,), (2,)), ((3,), 4))),
    ('layer_modes = ["dense", "select"]', ("dense", "select"), None),
])
def test_a_list_deeper_than_its_setting_is_a_knob(tmp_path: Path, line: str, fixed: object, knob: object) -> None:
    campaign = load(written(tmp_path, GOOD.replace("topk_ratio = [0.0625, 0.125, 0.25]", line)))
    name = line.split(" ")[0]
    assert getattr(campaign.point, name) == fixed
    assert campaign.knobs == (((name, knob),) if knob else ())


MEASURED = 'name    = "retrieval"\nsamples = 4\n\n[[stage]]\nname = "speed"\n'


@pytest.mark.parametrize(("stages", "said"), [
    (MEASURED + '\n[[stage]]\nname = "confirm"\nseed = 5\n', "takes no seed"),
    (MEASURED + '\n[[stage]]\nname = "confirm"\nstages = ["static"]\n', "cannot repeat 'static'"),
    (MEASURED + '\n[[stage]]\nname = "confirm"\nalpha = 0.5\n', "alpha"),
    ('name    = "retrieval"\nsamples = 4\n\n[[stage]]\nname = "confirm"\n', "needs accuracy and speed"),
    ('name = "confirm"\n\n[[stage]]\n' + MEASURED, "is not the last"),
])
def test_an_exam_that_cannot_be_is_refused(tmp_path: Path, stages: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('name    = "retrieval"\nsamples = 4\n', stages))
    with pytest.raises(CampaignError, match=said):
        load(str(path))
