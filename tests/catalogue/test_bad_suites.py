"""Suites that cannot be: `check` says in one line what a run would die of, and `run` says the same."""

from __future__ import annotations

import pytest
from suite_files import TINY

HEAD = """
import time
from dataclasses import dataclass, replace
from torch import nn
import torch
from robustprune.data import Data, Split
from robustprune.suite import Case, Model, Strategy, Suite, grid
from robustprune.attacks import CW, Noise, Square
nan, inf = float("nan"), float("inf")
def giving(change):
    net = build()
    net.register_forward_hook(lambda module, images, logits: change(logits))
    return net
build = partial"""

FIELDS = {
    # the suite
    'name="tiny"': {
        'name=""': "name=''",
        "name=7": "name=7, expected a text",
        'name="../../evil"': "that can be a folder",
        'name="/tmp/evil"': "that can be a folder",
        'name="a\\0b"': "that can be a folder",
        'name="x" * 300': "that can be a folder",
        'name=".."': "that can be a folder",
        'name="con"': "that can be a folder",
        'name="a\\nb"': "that can be a folder",
        'name="\\udc80"': "that can be a folder",
        'name="t", nane="u"': "nane",
    },
    "samples=40": {
        "samples=0": "samples=0, expected 1, 2, ...",
        "samples=-5": "samples=-5",
        'samples="60"': "samples='60', expected a whole number",
        "samples=4.5": "samples=4.5",
        "samples=True": "samples=True",
        "samples=nan": "samples=nan",
        "samples=40, seed=-1": "seed=-1",
        'samples=40, seed="one"': "seed='one'",
        "samples=40, seed=2**63": "seed=9223372036854775808",
        'samples=40, tier="bogus"': "tier='bogus', expected 'quick' or 'standard' or 'full'",
        "samples=40, tier=None": "tier=None",
        "samples=40, attack_batch=0": "attack_batch=0",
        "samples=40, timing_threads=0": "timing_threads=0",
        "samples=40, quick=3": "quick=3",
    },
    "minutes=0.1": {
        "minutes=-1": "minutes=-1",
        "minutes=nan": "minutes=nan",
        'minutes="soon"': "minutes='soon'",
        "minutes=inf": "minutes=inf",
    },
    "batches=(1, 8)": {
        "batches=(0,)": "batches[0]=0",
        "batches=8": "batches=8",
        "batches=()": "batches",
        'batches=("1",)': "batches[0]='1'",
        "batches=(1, 1.5)": "batches[1]=1.5",
    },
    "timing_seconds=0.02": {
        "timing_seconds=0": "timing_seconds=0",
        "timing_seconds=-1.0": "timing_seconds=-1.0",
        "timing_seconds=nan": "timing_seconds=nan",
        "timing_seconds=10**9": "timing_seconds=1000000000",
    },
    "data=digits": {
        "data=None": "data=None",
        'data="digits"': "data='digits'",
        "data=digits()": "expected something that can be called",
        "data=lambda: None": "its data are NoneType",
        "data=lambda x: x": "cannot be loaded: TypeError",
        "data=lambda: 1 / 0": "cannot be loaded: ZeroDivisionError",
        "data=Data": "cannot be loaded: TypeError",
        "data=lambda: replace(digits(), classes=())": "expected",
        "data=lambda: replace(digits(), classes=('a',) * 10)": "two classes share a name",
        "data=lambda: replace(digits(), test=None)": "cannot be loaded: AttributeError",
        "data=lambda: replace(digits(), name=3)": "data 3: 3 is no text",
        "data=lambda: replace(digits(), test=digits().train)": "are among the training images",
    },
    "attacks=(FGSM(eps=0.05), PGD(eps=0.05, steps=3))": {
        "attacks=()": "no attacks",
        'attacks=("fgsm",)': "attacks[0]='fgsm'",
        "attacks=FGSM(eps=0.05)": "attacks=FGSM",
        "attacks=(FGSM,)": "attacks[0]=",
        "attacks=None": "attacks=None",
        "attacks=(FGSM(eps=0),)": "eps=0",
        "attacks=(FGSM(eps=8),)": "eps=8",
        "attacks=(FGSM(eps=-0.1),)": "eps=-0.1",
        "attacks=(FGSM(eps=nan),)": "eps=nan",
        'attacks=(FGSM(eps="8/255"),)': "eps='8/255'",
        "attacks=(PGD(eps=0.1, steps=0),)": "steps=0",
        "attacks=(PGD(eps=0.1, steps=2.5),)": "steps=2.5",
        'attacks=(PGD(eps=0.1, norm="L7"),)': "L7",
        'attacks=(PGD(eps=0.1, loss="hinge"),)': "hinge",
        "attacks=(Square(eps=0.1, queries=-1),)": "queries=-1",
        "attacks=(CW(eps=inf),)": "eps=inf",
        "attacks=(FGSM(eps=0.05), FGSM(eps=0.05))": "two attacks are called",
        "attacks=(PGD(eps=0.1, name='a\\nb'),)": "name",
        "attacks=(Noise(eps=0.1, draws=0),)": "draws=0",
    },
    "policy=Policy(max_clean_drop=0.05, max_robust_drop=0.05)": {
        "policy={}": "policy={}",
        "policy=None": "policy=None",
        "policy=Policy(max_clean_drop=2)": "max_clean_drop = 2",
        "policy=Policy(max_robust_drop=nan)": "max_robust_drop = nan",
        "policy=Policy(confidence=1)": "confidence = 1",
        "policy=Policy(blocking=(99,))": "blocking = (99,)",
        'policy=Policy(min_robust="none")': "min_robust = 'none'",
    },
    # the models
    'name="net"': {
        "name=None": "name=None",
        'name=""': "name=''",
        'name="a" * 101': "expected a name of 1 to 100",
        'name="\\x1b[31mred"': "expected a name",
        'name="net", weights=7': "weights=7",
        'name="net", weights="none.pt"': "weights of 'net' not found",
        'name="net", weights="../../../etc/none.pt"': "weights of 'net' not found",
        'name="net", weights="a\\0b"': "weights of 'net'",
        'name="net", weights="w" * 5000': "File name too long",
        'name="net", weights="net.pt", sha256="abc"': "sha256='abc', expected 64 hex digits",
        'name="net", seed="1"': "seed='1'",
        'name="net", family=3': "family=3",
    },
    "build=build": {
        "build=None": "build=None",
        "build=build()": "'net'",
        "build=lambda: 3": "its factory gave int",
        "build=lambda: None": "its factory gave NoneType",
        "build=CifarResNet": "'net' cannot be built: TypeError",
        "build=lambda: 1 / 0": "'net' cannot be built: ZeroDivisionError",
        "build=lambda: exit(0)": "raised SystemExit",
        "build=lambda: nn.Linear": "the class Linear",
        "build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3))": "gives (1, 3) for one image",
        "build=lambda: nn.Sequential(nn.Linear(8, 10))": "gives (1, 1, 8, 10) for one image",
        "build=lambda: nn.Sequential(nn.Conv2d(3, 4, 3))": "does not run on images of shape (1, 1, 8, 8)",
        "build=lambda: build().to('meta')": "meta",
        "build=lambda: giving(lambda logits: logits * nan)": "gives torch.float32 logits, nan, nan, nan",
        "build=lambda: giving(lambda logits: logits / 0)": "expected finite floating-point numbers",
        "build=lambda: giving(torch.Tensor.long)": "gives torch.int64 logits",
        "build=lambda: giving(lambda logits: logits + 1j)": "gives torch.complex64 logits",
        "build=lambda: giving(lambda logits: [None])": "returns list with no tensor",
        "build=lambda: giving(lambda logits: 'cat')": "returns str with no tensor",
        "build=lambda: giving(lambda logits: logits[:, :, None])": "gives (1, 10, 1) for one image",
        "build=lambda: giving(lambda logits: logits[:0])": "gives (0, 10) for one image",
    },
    'recipe=Recipe(name="train", epochs=2, lr=0.1)': {
        "recipe=None": "give weights, or a recipe",
        'recipe="train"': "recipe='train'",
        'recipe=Recipe(name="t", epochs=0, lr=0.1)': "0 epochs",
        'recipe=Recipe(name="t", epochs=2, lr=-0.1)': "lr=-0.1",
        'recipe=Recipe(name="t", epochs=2, lr=nan)': "lr=nan",
        'recipe=Recipe(name="t", epochs="2", lr=0.1)': "epochs='2'",
        'recipe=Recipe(name="t", epochs=2, lr=0.1, batch_size=0)': "batch_size=0",
        'recipe=Recipe(name="t", epochs=2, lr=0.1, samples=5000)': "wants 5000 of 1197",
        'recipe=Recipe(name="t", epochs=2, lr=0.1, distill=0.5)': "there is no teacher",
        'recipe=Recipe(name="../t", epochs=2, lr=0.1, augment="flipp")': "augment='flipp'",
    },
    # the strategies
    "Strategy(criterion=DepthFirst(), remove=1)": {
        "Strategy(criterion=DepthFirst(), remove=0)": "remove=0",
        "Strategy(criterion=DepthFirst(), remove=-1)": "remove=-1",
        "Strategy(criterion=DepthFirst(), remove=9)": "9 blocks",
        "Strategy(criterion=DepthFirst(), remove=1.5)": "remove=1.5",
        'Strategy(criterion=DepthFirst(), remove="half")': "remove='half'",
        "Strategy(criterion=DepthFirst(), remove=nan)": "remove=nan",
        "Strategy(criterion=DepthFirst, remove=1)": "criterion=<class",
        'Strategy(criterion="cka", remove=1)': "criterion='cka'",
        "Strategy(criterion=DepthFirst(), remove=1, step=0)": "step=0",
        "Strategy(criterion=DepthFirst(), remove=1, samples=0)": "samples=0",
        "Strategy(criterion=DepthFirst(), remove=1, keep_per_stage=-1)": "keep_per_stage=-1",
        "Strategy(criterion=DepthFirst(), remove=1), Strategy(criterion=DepthFirst(), remove=1)": "two cases are named",
        "Strategy(criterion=DepthFirst(), remove=1, seed=3)": "seed",
        "7": "strategy=7, expected a Strategy",
    },
    "seed=(0, 1)": {
        "seed=()": "seed=(), expected one or more",
        "seed=3": "grid: seed=3, expected several",
        'seed=("0",)': "seed='0'",
        "seed=(-1,)": "seed=-1",
        "seed=(0, 0)": "two cases are named",
    },
}
"""Part of the tiny suite -> what stands there instead -> what is said of it."""

CASES = [(old, new, said) for old, others in FIELDS.items() for new, said in others.items()]


@pytest.mark.parametrize(("old", "new", "said"), CASES, ids=[new for _, new, _ in CASES])
def test_check_refuses_a_field(old, new, said, sandbox):
    assert TINY.count(old) == 1
    text = TINY.replace(old, new).replace("\nbuild = partial", HEAD, 1)
    sandbox.refuses(["check", sandbox.suite(text)], said)
