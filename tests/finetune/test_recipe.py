"""Recipes refuse what cannot work; schedules agree with torch's own."""

import dataclasses
import re

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, OneCycleLR

from robustprune.errors import InputError
from robustprune.finetune import RECIPES, Adversarial, Recipe
from robustprune.finetune.recipe import learning_rate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", -1),
        ("epochs", 1.5),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("batch_size", 0),
        ("schedule", "step"),
        ("augment", "mixup"),
        ("distill", 1.1),
        ("temperature", 0.0),
        ("label_smoothing", 1.0),
        ("samples", 0),
        ("samples", "60"),
        ("epochs", True),
        ("lr", "fast"),
        ("name", "two\nlines"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"^Recipe.*: {re.escape(f'{field}={value!r}')}, expected "):
        Recipe(**{"name": "r", "epochs": 1, "lr": 0.1, field: value})


@pytest.mark.parametrize("settings", [{"eps": 0.0}, {"eps": 8}, {"eps": 0.1, "steps": 0}, {"eps": 0.1, "alpha": -1}])
def test_adversarial_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(InputError, match="Adversarial: "):
        Adversarial(**settings)


def torch_rates(schedule, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)
    scheduler = {
        "onecycle": lambda: OneCycleLR(optimizer, 0.05, total_steps=steps, cycle_momentum=False),
        "cosine": lambda: CosineAnnealingLR(optimizer, steps),
        "constant": lambda: ConstantLR(optimizer, factor=1.0),
    }[schedule]()
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("steps", [10, 37, 200])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_schedules_agree_with_those_of_torch(schedule, steps):
    recipe = Recipe(name="r", epochs=1, lr=0.05, schedule=schedule)
    rates = [learning_rate(recipe, step, steps) for step in range(steps)]
    assert rates == pytest.approx(torch_rates(schedule, steps), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_one_cycle_of_very_few_steps_stays_within_its_bounds(steps):
    recipe = Recipe(name="r", epochs=1, lr=0.4)
    rates = [learning_rate(recipe, step, steps) for step in range(steps)]
    assert all(0 < rate <= 0.4 for rate in rates)
    assert max(rates) > 0.3


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_carry_their_name_and_are_described(name):
    assert RECIPES[name]().name == name
    assert (RECIPES[name].__doc__ or "").endswith(".")


def test_a_recipe_is_frozen_data():
    recipe = RECIPES["adversarial"]()
    assert dataclasses.asdict(recipe)["adversarial"].items() >= {"eps": 8 / 255, "steps": 7, "alpha": None}.items()
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.lr = 1.0
