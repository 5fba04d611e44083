"""What the suites on consensus share: who competes, at which depths, and on which parents.

Blocks go by every voter of the published consensus, by four ways to combine these, by criteria that see the network
attacked and their consensus with the eight, and by controls: at random (five draws) and by depth from either end. All
look at the same 256 training images once, so that who chose the same blocks shares one network.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from torch import nn

from robustprune.criteria import EIGHT, Criterion, DepthFirst, DepthLast, Random, Taylor, WeightNorm
from robustprune.criteria.catalogue import ROBUST, robust_consensus
from robustprune.criteria.consensus import CONSENSUS
from robustprune.finetune import Recipe
from robustprune.suite import Case, Model, Strategy, grid

DRAWS = 5
REMOVALS = (3, 2, 4, 1, 5, 6)
"""Of the 9 blocks of a ResNet-20 the first and the two that change the resolution stay. The order is that of work: half
way criteria differ most."""

CRITERIA: tuple[Criterion, ...] = (
    *(Random(draw=draw) for draw in range(DRAWS)),
    DepthFirst(),
    DepthLast(),
    WeightNorm(),
    Taylor(),
    *EIGHT,
    *(make() for make in ROBUST.values()),
    *(make() for make in CONSENSUS.values()),
    robust_consensus(),
)


def strategies() -> list[Strategy]:
    """Every criterion at every depth."""
    return [Strategy(criterion=criterion, remove=k, keep_per_stage=0) for k in REMOVALS for criterion in CRITERIA]


def parents(build: Callable[[], nn.Module], data: str, recipe: Recipe, runs: int = 2) -> list[Model]:
    """The same network trained `runs` times; the files lie beside the suites."""
    family = "resnet20-at" if recipe.adversarial else "resnet20"
    return [
        Model(
            name=f"{family}-{run}",
            family=family,
            build=build,
            weights=f"weights/{data}_{family}_{run}.safetensors",
            recipe=recipe,
            seed=run,
        )
        for run in range(runs)
    ]


def cases(models: Iterable[Model], epochs: int, samples: int | None = None, seeds: Iterable[int] = (0,)) -> list[Case]:
    """All strategies on all parents, fine-tuned the way these were trained, and distilled from them by halves."""
    found, runs = list[Case](), tuple(seeds)
    for model in models:
        assert model.recipe is not None
        short = replace(model.recipe, name="ft", epochs=epochs, lr=0.02, distill=0.5, samples=samples)
        found += grid(model=model, strategy=strategies(), recipe=short, seed=[run + 10 * model.seed for run in runs])
    return sorted(found, key=_depth)


def _depth(case: Case) -> int:
    """Where a case stands in the order of work: by how many blocks go."""
    return -1 if case.strategy is None else REMOVALS.index(int(case.strategy.remove))
