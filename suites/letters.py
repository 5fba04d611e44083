"""Letters of film reviews: two small causal language models, GPT-2's shape in 6 layers; perplexity beside accuracy.

Each was trained in minutes on the training sentences, letter by letter; `robustprune train suites/letters.py` made the
files beside this one. One or two of the six layers are removed by seven criteria, and what is left is trained on 1,000
windows. It predicts the next letter of 400 windows, and is attacked behind its embedding. Needs
`transformers` (`pip install 'robustprune[hf]'`) and the sentence polarity data.
"""

from dataclasses import replace
from functools import partial

from robustprune.attacks import EmbeddingPGD
from robustprune.criteria import AngularDistance, BlockInfluence, Cka, DepthLast, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data.next_tokens import LETTERS, next_letters
from robustprune.finetune import Recipe
from robustprune.models import kinds_of
from robustprune.models.texts.generative import small_gpt2
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

LENGTH = 24
"""Letters of a window."""

EPS = 0.05
"""In mean lengths of a letter's vector, all letters of a window together."""

build = partial(small_gpt2, kinds_of(LETTERS), width=40, heads=4, depth=6, length=LENGTH)

train = Recipe(name="train", epochs=2, lr=0.2, batch_size=16, weight_decay=1e-5)
short = replace(train, name="ft", epochs=1, lr=0.05, samples=1000)

CRITERIA = (Random(), DepthLast(), WeightNorm(), BlockInfluence(), AngularDistance(), Cka(), Consensus())

SUITE = Suite(
    name="letters",
    data=partial(next_letters, LENGTH, 400),
    cases=grid(
        model=[
            Model(
                name=f"gpt2-{seed}",
                build=build,
                weights=f"weights/letters_gpt2_{seed}.safetensors",
                recipe=train,
                seed=seed,
            )
            for seed in range(2)
        ],
        family="gpt2",
        strategy=[
            Strategy(criterion=criterion, remove=count, protect_first=False, samples=256)
            for count in (1, 2)
            for criterion in CRITERIA
        ],
        recipe=short,
        seed=(0,),
    ),
    attacks=(EmbeddingPGD(eps=EPS, steps=5, retries=0), EmbeddingPGD(eps=EPS, steps=5, retries=0, loss="margin")),
    policy=Policy(
        max_clean_drop=0.05,
        max_robust_drop=0.1,
        max_class_drop=None,
        min_clean=None,
        min_robust=None,
        max_perplexity_ratio=1.1,
    ),
    attack_batch=256,
    batches=(1, 32),
    minutes=12,
    timing_seconds=0.05,
    timing_threads=1,
)
