from dataclasses import dataclass
from pathlib import Path

import pytest

from robustprune.attacks import FGSM, PGD
from robustprune.criteria import Cka, Random
from robustprune.data import digits
from robustprune.errors import InputError
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.suite.cases import Case, Model, Strategy, Suite, grid
from robustprune.suite.files import load_suite

NET = Model(name="net", build=CifarResNet, weights="net.safetensors")
RECIPE = Recipe(name="ft", epochs=1, lr=0.01)
BAD_NAMES = ["", " ", "two\nlines", "a\x00b", "\x1b[31mred", "\ud800", "x" * 300, "\u202eback", 3, None]
BAD_FOLDERS = [*BAD_NAMES, "../../evil", "/etc/evil", "a/b", "a\\b", ".", "..", ".hidden", "nul", "COM1.txt", "end."]
GOOD_NAMES = ["net", "résnet 20 (small)", "net/with slash", "x" * 100]


@dataclass(frozen=True)
class Named:
    """A criterion with the name that is given."""

    name: object

    def __call__(self, ctx):
        return {}


def suite(some, **fields):
    return Suite(**{"name": "s", "data": digits, "cases": some, "attacks": (FGSM(eps=0.1),), **fields})


def test_a_grid_has_parent_controls_and_every_strategy_for_every_seed():
    strategies = [Strategy(criterion=Random(), remove=2), Strategy(criterion=Cka(), remove=0.5)]
    ids = [case.id for case in grid(model=NET, strategy=strategies, recipe=RECIPE, seed=(0, 1))]
    assert ids == [
        "net/parent",
        "net/dense, fine-tuned/ft/seed0",
        "net/dense, fine-tuned/ft/seed1",
        "net/random-2/ft/seed0",
        "net/random-2/ft/seed1",
        "net/cka-0.5/ft/seed0",
        "net/cka-0.5/ft/seed1",
    ]


def test_every_compared_case_brings_its_parent():
    pruned = Case(model=NET, strategy=Strategy(criterion=Random(), remove=1))
    assert [case.id for case in suite([pruned]).cases] == ["net/parent", "net/random-1/seed0"]
    other = Model(name="small", build=CifarResNet, weights="small.safetensors")
    artefact = Case(model=other, parent=NET)
    assert [case.id for case in suite([artefact]).cases] == ["net/parent", "small/finished artefact"]


def test_two_cases_of_one_name_are_refused():
    strategy = Strategy(criterion=Random(), remove=1)
    with pytest.raises(InputError, match="two cases are named 'net/random-1/seed0'"):
        suite([Case(model=NET, strategy=strategy), Case(model=NET, strategy=strategy)])


@pytest.mark.parametrize("remove", [0, -1, 0.0, 1.0, 1.5])
def test_a_removal_that_makes_no_sense_is_refused(remove):
    with pytest.raises(InputError, match="expected a number of blocks"):
        Strategy(criterion=Random(), remove=remove)


def test_a_model_needs_weights_or_a_recipe():
    with pytest.raises(InputError, match="weights, or a recipe"):
        Model(name="net", build=CifarResNet)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attacks", ["pgd"]),
        ("attacks", ()),
        ("attacks", [FGSM(eps=0.0)]),
        ("attacks", FGSM(eps=0.1)),
        ("samples", 0),
        ("samples", -5),
        ("samples", "60"),
        ("samples", 60.0),
        ("samples", True),
        ("tier", "bogus"),
        ("attack_batch", 0),
        ("batches", (1, 0)),
        ("batches", "1"),
        ("seed", -1),
        ("seed", "one"),
        ("policy", {"max_clean_drop": 0.1}),
        ("data", None),
        ("data", "digits"),
        ("cases", [NET]),
        ("cases", []),
        ("minutes", float("nan")),
        ("timing_seconds", 0),
        ("timing_threads", 0),
        ("quick", "no"),
        *(("name", name) for name in BAD_FOLDERS),
    ],
)
def test_a_field_of_a_suite_that_cannot_work_is_refused_in_one_line(field, value):
    with pytest.raises(InputError, match=rf"(?s)(?=.*{field}|.*no {field}|.*eps=0).*expected") as error:
        suite([Case(model=NET)], **{field: value})
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_models_recipes_criteria_and_attacks_are_refused_where_they_are_made(name):
    made = (
        lambda: Model(name=name, build=CifarResNet, weights="net.pt"),
        lambda: Model(name="net", build=CifarResNet, weights="net.pt", family=name or "\n"),
        lambda: Recipe(name=name, epochs=1, lr=0.1),
        lambda: Strategy(criterion=Named(name), remove=1),
    )
    for make in made:
        with pytest.raises(InputError, match=r"expected a (text|name of 1 to 100 printable characters)"):
            make()
    assert [Model(name=good, build=CifarResNet, weights="n").name for good in GOOD_NAMES] == GOOD_NAMES


@pytest.mark.parametrize(
    "make",
    [
        lambda: Model(name="net", build=3, weights="net.pt"),
        lambda: Model(name="net", build=CifarResNet, weights=3),
        lambda: Model(name="net", build=CifarResNet, weights="net.pt", sha256="abc"),
        lambda: Model(name="net", build=CifarResNet, recipe="plain"),
        lambda: Model(name="net", build=CifarResNet, recipe=RECIPE, seed=-1),
        lambda: Strategy(criterion="cka", remove=1),
        lambda: Strategy(criterion=Cka, remove=1),
        lambda: Strategy(criterion=Cka(), remove="1"),
        lambda: Strategy(criterion=Cka(), remove=1, samples=0),
        lambda: Strategy(criterion=Cka(), remove=1, step=0),
        lambda: Case(model="net"),
        lambda: Case(model=NET, strategy=Cka()),
        lambda: Case(model=NET, seed=1.5),
        lambda: FGSM(eps="8/255"),
        lambda: FGSM(eps=8),
        lambda: FGSM(eps=float("nan")),
        lambda: PGD(eps=0.1, steps=2.5),
        lambda: PGD(eps=0.1, steps=2, alpha="1/255"),
    ],
)
def test_what_a_suite_is_made_of_refuses_what_cannot_work(make):
    with pytest.raises(InputError, match="expected"):
        make()


def test_a_suite_that_does_not_exist_names_close_ones(tmp_path: Path, monkeypatch):
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "digits.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="did you mean 'digits'"):
        load_suite("digit")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SUITE = 3", "found int"),
        ("x = 1", "found NoneType"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_a_file_that_is_no_suite_says_why(tmp_path: Path, text, reason):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(InputError, match=reason):
        load_suite(file)


def parents(count=2):
    return [
        Model(name=f"net-{k}", build=CifarResNet, weights=f"net-{k}.safetensors", recipe=RECIPE, seed=k)
        for k in range(count)
    ]


def test_parents_of_one_family_are_runs_of_one_subject():
    cases = grid(model=parents(), family="net", strategy=[Strategy(criterion=Random(), remove=2)], recipe=RECIPE)
    assert [case.id for case in cases if case.strategy] == ["net-0/random-2/ft/seed0", "net-1/random-2/ft/seed0"]
    assert list(dict.fromkeys(case.subject for case in cases)) == [
        "net/parent",
        "net/dense, fine-tuned/ft",
        "net/random-2/ft",
    ]
    assert Case(model=NET).subject == "net/parent"


def test_a_replicate_has_other_seeds_throughout_and_trains_its_parents():
    strategies = [Strategy(criterion=Random(), remove=1)]
    first = suite([case for model in parents() for case in grid(model=model, strategy=strategies, recipe=RECIPE)])
    again = first.replicated(3)
    assert again.name == "s (replicate 3)"
    assert again.seed == 3000
    assert len(again.cases) == len(first.cases)
    for old, new in zip(first.cases, again.cases, strict=True):
        assert (new.subject.split("/")[1:], new.model.weights) == (old.subject.split("/")[1:], None)
        assert new.model.seed == old.model.seed + 3000
        if old.parent_case is not None:
            assert new.seed == old.seed + 3000
            assert new.parent_case in again.cases
    with pytest.raises(InputError, match="'net' has weights and no recipe"):
        suite([Case(model=NET)]).replicated(1)


def test_quickly_keeps_one_run_of_each_family():
    cases = [
        case for k, model in enumerate(parents()) for case in grid(model=model, family="net", recipe=RECIPE, seed=(k,))
    ]
    assert [case.id for case in suite(cases).quickly().cases] == ["net-0/parent", "net-0/dense, fine-tuned/ft/seed0"]


def test_quickly_keeps_one_seed_and_few_samples():
    cases = grid(model=NET, strategy=[Strategy(criterion=Random(), remove=1)], recipe=RECIPE, seed=(0, 1, 2))
    small = suite(cases).quickly()
    assert [case.seed for case in small.cases] == [0, 0, 0]
    assert small.samples == 64


@pytest.mark.parametrize(
    ("argument", "value"),
    [("seed", 0), ("ships", "bfloat16"), ("strategy", Strategy(criterion=Random(), remove=1)), ("model", "net")],
)
def test_one_where_a_grid_expects_several_is_named(argument, value):
    with pytest.raises(InputError, match=rf"grid: {argument}=.*, expected several, as in {argument}=\(one, another\)"):
        grid(**{"model": NET, argument: value})


def test_every_case_of_a_grid_ships_in_formats_that_can_be_read_once():
    formats = (form for form in ("bfloat16", "float16"))
    assert len(grid(model=NET, recipe=RECIPE, ships=formats)) == 2 + 2 * 2
