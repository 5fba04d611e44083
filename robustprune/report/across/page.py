"""The page of a contest over suites, its figures and its tables of numbers."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.report.across import tables
from robustprune.report.across.comparisons import comparisons, frame
from robustprune.report.across.drawn import drawn_forest, drawn_fronts, means_frame, means_of
from robustprune.report.across.field import field_of
from robustprune.report.across.surprises import surprises
from robustprune.report.across.tables import Found
from robustprune.report.formats import to_csv
from robustprune.report.markdown import inline, pipe, printable
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.entrants import entrants, forced
from robustprune.results.seen import Seen
from robustprune.results.words import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "README.md"
FOREST = {WORST: "forest_robust.svg", CLEAN: "forest_clean.svg"}
FRONTS = {WORST: "front_robust.svg", CLEAN: "front_clean.svg"}
COMPARISONS, MEANS = "comparisons.csv", "means.csv"

Passes = tuple[int, int, int]
"""Of samples: forward and backward through the network, forward through its teacher."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is known of one suite: its networks, how it was named, and what the recipe of each case takes."""

    name: str
    given: str
    """As on the command line."""
    file: bool
    """Whether that is a suite, which can be run; else it is a folder of results."""
    networks: Sequence[Seen]
    passes: Mapping[str, Passes]
    """By case; empty where only results are known."""


@dataclass(frozen=True, kw_only=True)
class Contested:
    """What is written: texts, and what draws the figures, by the name of their file."""

    texts: Mapping[str, str]
    figures: Mapping[str, Callable[[], Figure]]


def contested(sources: Sequence[Source]) -> Contested:
    """Make the page and all that lies beside it. InputError where these suites have nothing to say on the question."""
    names = Counter(source.name for source in sources)
    for name, count in names.items():
        if count > 1:
            given = " and ".join(source.given for source in sources if source.name == name)
            raise InputError(f"{given}: both are results of {name!r}, expected suites of different names")
    networks = [one for source in sources for one in source.networks]
    _check_samples(networks)
    limit = forced(networks)
    alike = {id(one) for one in limit}
    field = field_of(entrants([one for one in networks if id(one) not in alike]), ", ".join(names))
    found = Found(field, comparisons(field))
    if not found.every:
        raise InputError(f"{', '.join(names)}: one training run of each family, expected two parents or two seeds")
    means = means_of(networks)
    return Contested(
        texts={
            PAGE: _page(found, sources, limit),
            COMPARISONS: to_csv(frame(found.every)),
            MEANS: to_csv(means_frame(means)),
        },
        figures={
            **{FOREST[measure]: partial(drawn_forest, found, measure) for measure in FOREST},
            **{FRONTS[measure]: partial(drawn_fronts, means, measure) for measure in FRONTS},
        },
    )


def _check_samples(networks: Sequence[Seen]) -> None:
    """Refuse suites whose samples have one hash and are not the same."""
    first: dict[str, Seen] = {}
    for one in networks:
        other = first.setdefault(one.samples, one)
        if one.n != other.n:
            raise InputError(
                f"{other.suite} and {one.suite}: {other.n:,} and {one.n:,} samples of one hash, expected the same ones"
            )


def _page(found: Found, sources: Sequence[Source], limit: Sequence[Seen]) -> str:
    """Put the page together."""
    lead = found.field.lead.name
    parts = [
        f"# {tables.QUESTION}",
        f"**{inline(tables.answer(found, WORST))}**",
        inline(tables.answer(found, CLEAN)),
        inline(_chosen_afterwards(found)),
        f"{tables.headline(found)}",
        "## What was compared",
        *_compared(found, sources),
        _forced(limit),
        "## Each consensus beside each strategy",
        inline(tables.tally(found, WORST)),
        _picture(FOREST[WORST], f"Forest plot: each consensus minus each strategy, {tables.WHAT[WORST]}"),
        f"Points of robust accuracy, consensus minus the row. {tables.level()}",
        tables.matrix(found, WORST),
        inline(tables.tally(found, CLEAN)),
        _picture(FOREST[CLEAN], f"Forest plot: each consensus minus each strategy, {tables.WHAT[CLEAN]}"),
        tables.matrix(found, CLEAN),
        "## How often the same blocks went",
        "Where two strategies take the same blocks their networks are the same, and the difference is exactly 0: this "
        "limits what can be seen. Pairs of networks with the same blocks:",
        tables.same_blocks(found),
        "## Accuracy against MACs",
        _picture(FRONTS[WORST], f"MACs against {tables.WHAT[WORST]}, every strategy, with the Pareto front"),
        "A point is a strategy at one number of blocks, mean over parents and seeds. Stars are references, no part of "
        f"the front. Clean accuracy: [{FRONTS[CLEAN]}]({FRONTS[CLEAN]}); the numbers: [{MEANS}]({MEANS}).",
        "## By number of blocks, family of parents and suite",
        f"{WORST.capitalize()}: {inline(lead)}, and its difference in points; intervals of 95 %, not adjusted.",
        tables.by_part(found, WORST),
        "Clean accuracy:",
        tables.by_part(found, CLEAN),
        "## What surprised",
        "Found by rules in the numbers, not by eye.",
        "\n".join(f"- {inline(line)}" for line in surprises(found)),
        "## What fine-tuning cost",
        *_costs(sources),
        "## How to make this page again",
        _commands(sources),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _chosen_afterwards(found: Found) -> str:
    """Say what choosing the best criterion with hindsight means."""
    return (
        f"The best single criterion ({found.field.best(WORST).name} by robust, {found.field.best(CLEAN).name} by clean "
        "accuracy) was chosen after the fact, as the best on average over these same experiments, which favours it. "
        "Beside it stands the best criterion of the other runs: for each parent the one that is best on all other "
        "parents, which someone could have chosen beforehand."
    )


def _compared(found: Found, sources: Sequence[Source]) -> list[str]:
    """Say what the numbers rest on, and how they were made."""
    said = []
    for source in sources:
        attacks = dict.fromkeys(attack for one in source.networks for attack in one.attacks)
        trusts = Counter(one.trust for one in source.networks)
        data = ", ".join(dict.fromkeys(one.data for one in source.networks if one.data))
        said.append(
            f"{source.name}: {plural(len(source.networks), 'network')} on {source.networks[0].n:,} samples"
            f"{f' ({data})' if data else ''}; attacks: {'; '.join(attacks)}; evidence: "
            f"{', '.join(f'{count} {trust}' for trust, count in sorted(trusts.items()))}."
        )
    field = found.field
    where = [*field.lead.entries]
    runs: dict[tuple[str, str], set[str]] = {}
    for one in where:
        runs.setdefault(one.stratum, set()).add(one.run)
    single = {stratum for stratum, own in runs.items() if len(own) < 2}
    left = sum(one.stratum in single for one in where)
    return [
        "\n".join(f"- {inline(line)}" for line in said),
        "Compared is at an equal number of removed blocks, within one suite, parent and recipe, over seeds. "
        f"{inline(field.lead.name)} has {len(where)} such settings, in {_strata(len(runs))} (a family of parents on "
        f"one set of images) with {plural(sum(map(len, runs.values())), 'run')} (parents; seeds where there is one). "
        + (f"{left} settings are left out: one run of a family says nothing of another. " if left else "")
        + inline(tables.dearness(found)),
        "A difference is the mean over strata, of the mean over runs, of the mean over settings. Its interval (95 %) "
        "and p-value are over samples and runs, two crossed random factors, with each image and each parent counted "
        "once. The variance between runs is moderated by that of the other comparisons of the two strategies, and "
        "never less than its own (Smyth 2004). p-values are adjusted (Holm) over all "
        f"{found.tested} claims of this page: each consensus beside every strategy, each criterion beside chance, by "
        f"both measures. Every number: [{COMPARISONS}]({COMPARISONS}).",
    ]


def _forced(limit: Sequence[Seen]) -> str:
    """Say where there was nothing to choose; "" where there was everywhere."""
    where = dict.fromkeys(f"{one.suite}, {one.family}, {len(one.removed)} {one.units}" for one in limit)
    if not where:
        return ""
    count = plural(len(limit), "network")
    return inline(f"Left out, since every strategy took the same there ({count}): {'; '.join(where)}.")


def _strata(count: int) -> str:
    return f"{count} {'stratum' if count == 1 else 'strata'}"


def _picture(name: str, words: str) -> str:
    return f"![{words}]({name})"


def _costs(sources: Sequence[Source]) -> list[str]:
    """Write a table of what each recipe takes, mean over the networks; a sentence where no suite file was given."""
    rows = []
    for source in sources:
        recipes: dict[str, list[Passes]] = {}
        for one in source.networks:
            if one.recipe and not one.reference and one.case in source.passes:
                recipes.setdefault(one.recipe, []).append(source.passes[one.case])
        for recipe, passes in recipes.items():
            means = [f"{fmean(column):,.0f}" for column in zip(*passes, strict=True)]
            rows.append([recipe, source.name, str(len(passes)), *means])
    if not rows:
        return ["Not known: results tell the name of a recipe alone; give the suite files."]
    head = ["recipe", "suite", "networks", "forward", "backward", "forward of the teacher"]
    return [
        "Passes of one sample each, mean over the pruned networks; with early stopping the most that there may be.",
        pipe(head, rows),
    ]


def _commands(sources: Sequence[Source]) -> str:
    given = [printable(shlex.quote(source.given)) for source in sources]
    lines = [f"robustprune run {one}" for one, source in zip(given, sources, strict=True) if source.file]
    return "\n".join(["```", *lines, f"robustprune contest {' '.join(given)}", "```"])
