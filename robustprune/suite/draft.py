"""A suite as a file that a person reads in a minute: what `robustprune new` writes."""

from __future__ import annotations

import math
import os
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from robustprune.data import DATASETS, Data, data_root
from robustprune.errors import InputError
from robustprune.models import MODELS, is_named
from robustprune.suite.sweep import Sweep

SAMPLES = 300
FINE_TUNED = 4_000
"""Images that are attacked, and that a network is fine-tuned on, at most."""

CASES, PASSES = 15, 200
"""Cases of a draft; passes that an image costs in each, evidence included."""

WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a suite is written from: `spec` builds its model, `weights` is its file, `source` the data as typed.

    `removable` blocks may go, `classes` are the logits of the network, `eps` is in [0,1] pixel units.
    """

    file: Path
    spec: str
    weights: Path
    name: str
    source: str
    data: Data
    classes: int
    removable: int
    sweep: Sweep
    eps: str

    @property
    def remove(self) -> int:
        """A third of the blocks that may go, rounded down; one at least."""
        return max(1, self.removable // 3)

    @property
    def minutes(self) -> int:
        """A guess at what a cold run costs, from what a pass took in the sweep."""
        samples = min(SAMPLES, len(self.data.test))
        passes = CASES * (samples * PASSES + min(FINE_TUNED, len(self.data.train)))
        return max(1, math.ceil(passes * self.sweep.seconds / 60))

    def text(self) -> str:
        """Return the file."""
        build, needed = _build(self.spec, self.file)
        data, more = _data(self.source, self.file)
        here = "HERE" in build + data
        standard = ["from functools import partial"] * ("partial" in data)
        standard += ["from pathlib import Path"] * (here or "Path(" in build + data)
        imports = [*standard, *[""][: len(standard)], *sorted({*USUAL, *needed, *more})]
        samples = "" if len(self.data.train) <= FINE_TUNED else f", samples={FINE_TUNED:_}"
        values = {
            "about": self._about(),
            "imports": "\n".join(imports),
            "here": "HERE = Path(__file__).parent\n" if here else "",
            "eps": self.eps,
            "remove": self.remove,
            "name": quoted(self.name),
            "build": build,
            "weights": quoted(_weights(self)),
            "samples": samples,
            "suite": quoted(self.file.stem),
            "data": data,
            "classes": self.classes,
            "attacked": min(SAMPLES, len(self.data.test)),
            "minutes": self.minutes,
        }
        return TEMPLATE.format(**values)

    def _about(self) -> str:
        first = _plain(f"{self.name} on {self.data.name}: which blocks can go, and what is left of its robustness?")
        many = "is" if self.remove == 1 else "are"
        what = (
            f"Of its {self.removable} blocks that may go {self.remove} {many} removed by controls, single criteria and "
            f"the consensus; what is left is fine-tuned and attacked. {self.sweep} EPS is where about half is kept, or "
            f"what was asked for. Written by `robustprune new`; the {self.minutes} minutes are a guess."
        )
        return f"{first[: WIDTH - 3]}\n\n" + "\n".join(textwrap.wrap(_plain(what), WIDTH))


USUAL = (
    "from robustprune.attacks import tier",
    "from robustprune.criteria import Cka, DepthFirst, Random, Taylor, WeightNorm",
    "from robustprune.criteria.consensus import Consensus",
    "from robustprune.finetune import Recipe",
    "from robustprune.policy import Policy",
    "from robustprune.suite import Model, Strategy, Suite, grid",
)

TEMPLATE = '''"""{about}
"""

{imports}

{here}EPS = {eps}
REMOVE = {remove}

parent = Model(
    name={name},
    build={build},
    weights={weights},
)
short = Recipe(name="ft", epochs=1, lr=0.01, distill=0.5{samples})

# The first two are controls; a third, the whole network fine-tuned as long, comes with the recipe.
CRITERIA = (Random(), DepthFirst(), WeightNorm(), Taylor(), Cka(), Consensus())

SUITE = Suite(
    name={suite},
    data={data},
    cases=grid(
        model=parent,
        strategy=[Strategy(criterion=criterion, remove=REMOVE, keep_per_stage=0) for criterion in CRITERIA],
        recipe=short,
        seed=(0, 1),
    ),
    attacks=tier("quick", "Linf", EPS, n_classes={classes}),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples={attacked},
    minutes={minutes},
)
'''


def eps_text(level: float, given: float | None) -> str:
    """Write an eps of so many 255ths; one that was `given` and is no such number as it is.

    >>> eps_text(1.5, None), eps_text(8.0, 8 / 255), eps_text(0.01 * 255, 0.01)
    ('1.5 / 255', '8 / 255', '0.01')
    """
    text = f"{level:g}"
    return f"{text} / 255" if given is None or float(text) / 255 == given else repr(given)


def quoted(text: str) -> str:
    """Write a text as Python does, in double quotes where it holds none.

    >>> quoted("a"), quoted('"')
    ('"a"', '\\'"\\'')
    """
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in plain else plain


def _plain(text: str) -> str:
    """Leave out of a text what could end a docstring."""
    return "".join(one if one.isprintable() and one not in '"\\' else "?" for one in text)


def _build(spec: str, file: Path) -> tuple[str, list[str]]:
    """The expression that builds a model, and what it imports. InputError where a suite could not import it."""
    where, _, name = spec.rpartition(":")
    if is_named(spec):
        text = spec.partition(":")[2]
        folder = spec.startswith("hf:") and Path(text).is_dir()
        build = f'named("hf:" + str({_place(Path(text), file)}))' if folder else f"named({quoted(spec)})"
        extra = ["from robustprune.data import data_root"] * ("data_root" in build)
        return build, ["from robustprune.models import named", *extra]
    if not where and spec in MODELS:
        return f"MODELS[{quoted(spec)}]", ["from robustprune.models import MODELS"]
    if not where:
        return f'names("models")[{quoted(spec)}]', ["from robustprune.names import names"]
    if where.endswith(".py") and Path(where).resolve().parent != file.resolve().parent:
        raise InputError(f"{where}: a suite can import what lies beside it; expected it in {file.parent}")
    module = Path(where).stem if where.endswith(".py") else where
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", f"{module}.{name}"):
        raise InputError(f"{spec}: cannot be imported under that name; expected letters, digits and _")
    return "build", [f"from {module} import {name} as build"]


def _data(source: str, file: Path) -> tuple[str, list[str]]:
    """The expression that loads the data, and what it imports."""
    if source in DATASETS:
        loader = DATASETS[source].__name__
        return loader, [f"from robustprune.data import {loader}"]
    place = _place(Path(source), file)
    names = "data_root, load_data" if "data_root" in place else "load_data"
    return f"partial(load_data, {place})", [f"from robustprune.data import {names}"]


def _place(path: Path, file: Path) -> str:
    """An expression for a path: from the suite's folder, from the data folder, or where it lies."""
    path, data = path.resolve(), data_root().resolve()
    if path.is_relative_to(Path.cwd()):
        return f"HERE / {quoted(_relative(path, file))}"
    if path.is_relative_to(data):
        return f"data_root() / {quoted(path.relative_to(data).as_posix())}"
    return f"Path({quoted(str(path))})"


def _weights(draft: Draft) -> str:
    path, data = draft.weights.resolve(), data_root().resolve()
    if path.is_relative_to(Path.cwd()):
        return _relative(path, draft.file)
    return path.relative_to(data).as_posix() if path.is_relative_to(data) else str(path)


def _relative(path: Path, file: Path) -> str:
    return Path(os.path.relpath(path, file.resolve().parent)).as_posix()
