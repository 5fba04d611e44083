"""Asking Optuna for weights, trial after trial, within a budget of networks; what is found becomes a file.

The study lies in SQLite beside the store, so a search that was stopped goes on, and one with a larger budget goes on
from a smaller one. What a trial asks for depends on the trials before it alone: stopped or not, the same is found.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robustprune.criteria.consensus import family_weights
from robustprune.criteria.fitted import FORMAT
from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.finetune import Recipe, cost
from robustprune.run.keys import digest
from robustprune.run.lock import alone
from robustprune.run.store import LOCK
from robustprune.tune.trial import Fitting, Worth

if TYPE_CHECKING:
    import optuna

By = Literal["voter", "family"]
"""Whether every voter has a weight of its own, or those of a family share one."""

EQUAL, FAMILIES = "equal weights", "families counting the same"
"""What is tried first, and shown beside what is found."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One trial: the weights, what they are worth, and whether their networks were made for it."""

    number: int
    weights: Mapping[str, float]
    worth: Worth
    new: bool


@dataclass(frozen=True, kw_only=True)
class Search:
    """A question with a budget: at most `networks` choices of blocks are fine-tuned and attacked for every model."""

    fitting: Fitting
    by: By
    networks: int
    seed: int
    storage: Path
    """The SQLite file of the study."""
    patience: int = 40
    """After so many trials in a row that chose blocks which were known already it ends before its budget."""

    def run(
        self, tell: Callable[[Tried], object] = lambda tried: None, waiting: Callable[[], object] = lambda: None
    ) -> list[Tried]:
        """Return all trials, those of an earlier call included; `tell` hears of each that is made now.

        One search at a time works in a file: `waiting` is called where another one does.
        """
        self.storage.parent.mkdir(parents=True, exist_ok=True)
        with alone(self.storage.with_suffix(LOCK), waiting):
            return self._run(self._study(), tell)

    def _run(self, study: optuna.Study, tell: Callable[[Tried], object]) -> list[Tried]:
        """Go on with a study that is this process's alone."""
        tried = self._before(study)
        known = {one.worth.removed: one.worth for one in tried}
        while len(known) < self.networks and (not tried or any(one.new for one in tried[-self.patience :])):
            one = self._next(study, len(tried), known)
            tried.append(one)
            known[one.worth.removed] = one.worth
            tell(one)
        return tried

    def _next(self, study: optuna.Study, number: int, known: Mapping[Any, Worth]) -> Tried:
        """Make one more trial."""
        import optuna

        study.sampler = optuna.samplers.TPESampler(seed=int(digest([self.seed, number])[:8], 16))
        if fixed := self._first(number):
            study.enqueue_trial(fixed)
        trial = study.ask({name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in self._names()})
        weights = self._weights(trial.params)
        removed = tuple(self.fitting.choice(weights))
        new = removed not in known
        worth = self.fitting.worth(removed) if new else known[removed]
        trial.set_user_attr("removed", removed)
        trial.set_user_attr("passes", worth.passes)
        study.tell(trial, worth.value)
        return Tried(number=number, weights=weights, worth=worth, new=new)

    def _before(self, study: optuna.Study) -> list[Tried]:
        """Return the finished trials of an earlier call; one that was stopped in its middle counts as failed."""
        import optuna

        tried, known = list[Tried](), set[Any]()
        for trial in study.get_trials(deepcopy=False):
            if trial.state == optuna.trial.TrialState.RUNNING:
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if trial.state != optuna.trial.TrialState.COMPLETE or trial.value is None:
                continue
            removed = tuple(tuple(names) for names in trial.user_attrs["removed"])
            worth = Worth(value=trial.value, removed=removed, passes=trial.user_attrs["passes"])
            tried.append(
                Tried(number=len(tried), weights=self._weights(trial.params), worth=worth, new=removed not in known)
            )
            known.add(removed)
        return tried

    def _study(self) -> optuna.Study:
        """Open the study of this question: other data, networks or settings are another question."""
        try:
            import optuna
        except ImportError:
            raise InputError("tune needs Optuna, which is not installed: pip install 'robustprune[tune]'") from None
        optuna.logging.set_verbosity(logging.WARNING)
        asked, bench = self.fitting, self.fitting.bench
        name = digest(
            [
                [start.content_key for start in asked.starts],
                [case.recipe for case in asked.cases],
                [[case.strategy, case.seed] for case in asked.cases],
                [bench.data.train, bench.data.test, bench.suite.attacks, bench.suite.seed, str(bench.device)],
                [asked.objective, self.by, self.seed],
            ]
        )
        try:
            return optuna.create_study(
                storage=f"sqlite:///{self.storage}", study_name=name, direction="maximize", load_if_exists=True
            )
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(f"{self.storage}: no study can be kept there ({said}); remove the file") from None

    def _names(self) -> list[str]:
        """What has a weight of its own."""
        return list(dict.fromkeys(self._owners().values()))

    def _owners(self) -> dict[str, str]:
        """Voter -> whose weight it has: its own, or its family's."""
        voters = self.fitting.consensus.voters
        if self.by == "voter":
            return {voter.name: voter.name for voter in voters}
        return {voter.name: str(getattr(voter, "family", voter.name)) for voter in voters}

    def _first(self, number: int) -> dict[str, float]:
        """What the first two trials are."""
        voters = self.fitting.consensus.voters
        fixed = [dict.fromkeys([voter.name for voter in voters], 1.0), family_weights(voters)]
        if number >= len(fixed):
            return {}
        largest = max(fixed[number].values())
        return {owner: fixed[number][voter] / largest for voter, owner in self._owners().items()}

    def _weights(self, params: Mapping[str, float]) -> dict[str, float]:
        """Return criterion -> weight; the weights sum to the number of criteria."""
        drawn = {voter: params[owner] for voter, owner in self._owners().items()}
        total = sum(drawn.values())
        return {voter: len(drawn) * one / total if total else 1.0 for voter, one in drawn.items()}


def best(tried: list[Tried]) -> Tried:
    """Return the trial that is worth most, the earliest of them: so equal weights where nothing is better."""
    return max(tried, key=lambda one: (one.worth.value, -one.number))


def write_weights(search: Search, tried: list[Tried], file: Path) -> None:
    """Write the best weights, what they are worth beside the first trials, and what the search has cost."""
    found, fitting, bench = best(tried), search.fitting, search.fitting.bench
    choices = len({one.worth.removed for one in tried})
    content = {
        "format": FORMAT,
        "weights": dict(found.weights),
        "objective": fitting.objective,
        "value": found.worth.value,
        "beside": {EQUAL: tried[0].worth.value, FAMILIES: tried[1].worth.value if len(tried) > 1 else None},
        "models": [case.model.name for case in fitting.cases],
        "strategy": fitting.cases[0].kind,
        "recipe": fitting.cases[0].recipe.name if fitting.cases[0].recipe else None,
        "held out": {"samples": len(bench.sample), "sha256": bench.sample.hash, "data": bench.data.source},
        "cost": {
            "trials": len(tried),
            "networks": choices * len(fitting.cases),
            "fine-tuning passes": choices * sum(_passes(case.recipe, len(bench.data.train)) for case in fitting.cases),
            "attack passes": sum(one.worth.passes for one in tried if one.new),
        },
    }
    write_whole(file, (json.dumps(content, indent=1) + "\n").encode())


def _passes(recipe: Recipe | None, n: int) -> int:
    """Forwards and backwards of one sample, the teacher's included, that a recipe takes on `n` images at most."""
    spent = None if recipe is None else cost(recipe, n)
    return 0 if spent is None else spent.forwards + spent.backwards + spent.teacher
