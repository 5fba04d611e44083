"""A change that makes networks weaker has to fail, whatever the processor: here fine-tuning with 30 times the rate."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from suite_files import Silent, evidence_taken_as_read

from robustprune.attacks import FGSM, PGD
from robustprune.criteria import DepthFirst
from robustprune.data import digits
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.policy.baseline import changes
from robustprune.policy.policy import Policy
from robustprune.run.store import Store
from robustprune.run.suite import run_suite
from robustprune.suite.cases import CONTROL, Model, Strategy, Suite, grid

WEIGHTS = Path(__file__).parents[2] / "suites" / "weights"
RECIPE = Recipe(name="ft", epochs=1, lr=0.02)

build = partial(CifarResNet, depth=20, width=8, in_channels=1, mean=[0.3], std=[0.37])


def suite(recipe: Recipe) -> Suite:
    """Three parents that come with the suites, one strategy."""
    models = [
        Model(name=f"net-{k}", family="net", build=build, weights=WEIGHTS / f"digits_resnet20_{k}.safetensors")
        for k in range(3)
    ]
    strategy = [Strategy(criterion=DepthFirst(), remove=2, keep_per_stage=0)]
    return Suite(
        name="planted",
        data=digits,
        cases=[
            case
            for k, model in enumerate(models)
            for case in grid(model=model, strategy=strategy, recipe=recipe, seed=(k,))
            if case.kind != CONTROL
        ],
        attacks=(FGSM(eps=0.03), PGD(eps=0.03, steps=5)),
        policy=Policy(max_clean_drop=0.05, max_robust_drop=0.1),
        samples=150,
        batches=(1,),
        timing_seconds=0.02,
    )


def test_a_learning_rate_thirty_times_too_high_fails_over_the_runs(tmp_path):
    store = Store(folder=tmp_path)
    with evidence_taken_as_read():
        before = run_suite(suite(RECIPE), store, Silent(), workers=1)
        again = run_suite(suite(RECIPE), store, Silent(), workers=1)
        worse = run_suite(suite(replace(RECIPE, lr=30 * RECIPE.lr)), store, Silent(), workers=1)
    policy = suite(RECIPE).policy
    assert {(one.verdict, one.exact) for one in changes(again, before, policy)} == {("PASS", True)}
    found = {(one.subject, one.claim): one for one in changes(worse, before, policy)}
    assert found["net/parent", "worst case"].verdict == "PASS"
    clean = found["net/depth-first-2/ft", "clean"]
    assert (clean.verdict, clean.exact, clean.runs) == ("FAIL", False, 3)
    assert clean.high < -0.1
