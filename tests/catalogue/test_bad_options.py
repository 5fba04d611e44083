"""Options and arguments that cannot be, of every verb."""

from __future__ import annotations

import pytest

LONG = "x" * 5000
REVIEW = ["review", "nets.py:net", "--parent", "nets.py:net", "--data", "digits"]
NETS = """
import torch
from robustprune.models import CifarResNet


def net():
    torch.manual_seed(0)
    return CifarResNet(8, width=4, in_channels=1)
"""
PLACES = {"SUITE": "suites/tiny.py", "FILE": "file.txt", "OUT": "out", "LINK": "link", "FULL": "full"}

WORDS = {
    # every verb that opens a suite
    **{
        f"{verb} {what}": ([verb, given, *more], said)
        for verb, more in {
            "run": ["--workers", "1"],
            "check": [],
            "report": [],
            "approve": [],
            "train": [],
            "replicate": [],
            "stage": [],
            "export": ["net", "--output", "OUT"],
        }.items()
        for what, given, said in (
            ("a suite of a long name", LONG, "no suite can have such a name"),
            ("a suite that is not there", "../../evil", "no such suite"),
        )
    },
    "run nothing": (["run"], "Missing argument 'SUITE'"),
    "run two suites": (["run", "SUITE", "SUITE"], "unexpected extra argument"),
    "run an odd option": (["run", "SUITE", "--quik"], "No such option"),
    "run -k of no case": (["run", "SUITE", "-k", "none of them"], "no case of tiny has it in its name"),
    "run no workers": (["run", "SUITE", "--workers", "0"], "0 is not in the range"),
    "run half a worker": (["run", "SUITE", "--workers", ".5"], "not a valid integer"),
    "run on no device": (["run", "SUITE", "--device", "tpu9"], "tpu9"),
    "run on a long device": (["run", "SUITE", "--device", LONG], "device"),
    "run without data": (["run", "SUITE", "--data-dir", "/nowhere"], "/nowhere: no such folder"),
    "run with data in a file": (["run", "SUITE", "--data-dir", "FILE"], "file.txt"),
    "run with results in a file": (["run", "SUITE", "--results", "FILE"], "file.txt"),
    "check on no device": (["check", "SUITE", "--device", ""], "device"),
    "report without results": (["report", "SUITE"], "no results yet"),
    "report in no format": (["report", "SUITE", "--format", "pdf"], "'pdf' is not one of"),
    "report into a folder": (["report", "SUITE", "--output", "."], "is a directory"),
    "approve without results": (["approve", "SUITE"], "no results"),
    "compare one": (["compare", "SUITE"], "Missing argument 'NOW'"),
    "compare a suite": (["compare", "SUITE", "SUITE"], "not a results file"),
    "compare nothing": (["compare", "none", "none"], "no results there"),
    "compare long names": (["compare", LONG, LONG], "File name too long"),
    "compare folders without results": (["compare", "suites", "suites"], "no results there"),
    "export no case": (["export", "SUITE", "none", "--output", "OUT"], "0 cases of tiny"),
    "export every case": (["export", "SUITE", "net", "--output", "OUT"], "cases of tiny have it"),
    "export what was not measured": (["export", "SUITE", "net/parent", "--output", "OUT"], "no results yet"),
    "export in no format": (["export", "SUITE", "net/parent", "--output", "OUT", "--format", "tflite"], "not one of"),
    "export to nowhere": (["export", "SUITE", "net/parent"], "Missing option '--output'"),
    "export to a file": (["export", "SUITE", "net/parent", "--output", "FILE"], "is a file"),
    "train a suite without files": (["train", "SUITE"], "nothing to train"),
    "replicate once": (["replicate", "SUITE", "--times", "1"], "1 is not in the range"),
    "list nothing": (["list"], "Missing argument"),
    "list odd things": (["list", "everything"], "'everything' is not one of"),
    "doctor with an argument": (["doctor", "now"], "unexpected extra argument"),
    "doctor without data": (["doctor", "--data-dir", "/nowhere"], "no such folder"),
    "no verb": (["runn"], "No such command"),
    # stages
    "stage of 1e-9": (["stage", "SUITE", "--step", "1e-9", "--output", "OUT"], "step"),
    "stage of nothing": (["stage", "SUITE", "--step", "0", "--output", "OUT"], "step"),
    "stage of NaN": (["stage", "SUITE", "--step", "nan", "--output", "OUT"], "step"),
    "stage of text": (["stage", "SUITE", "--step", "much"], "not a valid float"),
    "stage until NaN": (["stage", "SUITE", "--most", "nan", "--output", "OUT"], "most"),
    "stage until 2": (["stage", "SUITE", "--most", "2", "--output", "OUT"], "most"),
    "stage of no model": (["stage", "SUITE", "--model", "other"], "other"),
    "stage by no criterion": (["stage", "SUITE", "--criterion", "luck"], "luck"),
    "stage into a full folder": (["stage", "SUITE", "--output", "FULL"], "evidence is not overwritten"),
    "stage with a wide margin": (["stage", "SUITE", "--max-clean-drop", "7"], "max_clean_drop"),
    "stage by a policy that is not there": (["stage", "SUITE", "--policy", "none.toml"], "no such policy file"),
    "stage by a suite as policy": (["stage", "SUITE", "--policy", "SUITE"], "not TOML"),
    # a review
    "review of nothing": (["review"], "Missing argument 'CANDIDATE'"),
    "review without a parent": (["review", "cifar10-resnet20", "--data", "digits"], "Missing option '--parent'"),
    "review without data": (["review", "a", "--parent", "b"], "Missing option '--data'"),
    "review of no model": (["review", "resnet1001", *REVIEW[2:]], "'resnet1001'"),
    "review of a long name": (["review", LONG, *REVIEW[2:]], "model"),
    "review of no spec": (["review", "@", *REVIEW[2:]], "model '@'"),
    "review of a module that is not there": (["review", "no.such:net", *REVIEW[2:]], "no.such:net"),
    "review of a file that is not there": (["review", "../no.py:net", *REVIEW[2:]], "../no.py: no such file"),
    "review of a NUL": (["review", "a\0b.py:net", *REVIEW[2:]], "no such file"),
    "review of weights that are not there": (["review", "cifar10-resnet20@none.pt", *REVIEW[2:]], "no such weight"),
    "review of weights of a long name": ([*REVIEW, "--weights", LONG], "File name too long"),
    "review on no data": ([*REVIEW[:-1], "mnist9"], "neither a path nor one of"),
    "review on long data": ([*REVIEW[:-1], LONG], "xxx ... xxx"),
    "review with seed -1": ([*REVIEW, "--seed", "-1"], "-1 is not in the range"),
    "review with a seed of 2**70": ([*REVIEW, "--seed", str(2**70)], "seed"),
    "review of no samples": ([*REVIEW, "--samples", "0"], "0 is not in the range"),
    "review of all samples but one": ([*REVIEW, "--samples", "-1"], "-1 is not in the range"),
    "review in no tier": ([*REVIEW, "--tier", "bogus"], "'bogus' is not one of"),
    "review in no norm": ([*REVIEW, "--norm", "L3"], "L3"),
    "review with eps 0": ([*REVIEW, "--eps", "0"], "--eps '0'"),
    "review with eps -1": ([*REVIEW, "--eps", "-1"], "--eps '-1'"),
    "review with eps nan": ([*REVIEW, "--eps", "nan"], "--eps 'nan'"),
    "review with eps 8/0": ([*REVIEW, "--eps", "8/0"], "--eps '8/0'"),
    "review with eps of text": ([*REVIEW, "--eps", "small"], "--eps 'small'"),
    "review with one eps twice": ([*REVIEW, "--eps", "8/255", "--eps", "8/255"], "two attacks are called"),
    "review by no attack": ([*REVIEW, "--attack", "pdg"], "did you mean 'pgd'"),
    "review by one attack twice": ([*REVIEW, "--attack", "pgd", "--attack", "pgd"], "two attacks are called"),
    "review with no such effort": ([*REVIEW, "--effort", "much"], "--effort 'much'"),
    "review with effort -1": ([*REVIEW, "--effort", "curve_steps=-1"], "--effort 'curve_steps=-1'"),
    "review with a large effort": ([*REVIEW, "--effort", f"curve_steps={'9' * 5000}"], "--effort"),
    "review with a drop of 5": ([*REVIEW, "--max-clean-drop", "5"], "max_clean_drop = 5"),
    "review with a drop of text": ([*REVIEW, "--max-robust-drop", "little"], "is no number and not 'none'"),
    "review with no confidence": ([*REVIEW, "--confidence", "none"], "confidence"),
    "review with confidence inf": ([*REVIEW, "--confidence", "inf"], "confidence"),
    "review with checks of text": ([*REVIEW, "--blocking", "all"], "--blocking 'all'"),
    "review with check 99": ([*REVIEW, "--blocking", "2,99"], "blocking"),
    "review by a policy that is not there": ([*REVIEW, "--policy", "none.toml"], "no such policy file"),
    "review into a full folder": ([*REVIEW, "--output", "FULL"], "evidence is not overwritten"),
    "review below a file": ([*REVIEW, "--output", "FILE/below"], "file.txt"),
    "review into a long name": ([*REVIEW, "--output", LONG], "File name too long"),
    "review with a summary in a folder": ([*REVIEW, "--summary", "FULL"], "is a directory"),
    "review with a summary in its bundle": ([*REVIEW, "--output", "o", "--summary", "o/s.md"], "outside the bundle"),
    "review with a summary below a file": ([*REVIEW, "--summary", "FILE/s.md"], "cannot be written there"),
    "review of an empty name": (["review", "", *REVIEW[2:]], "the candidate has no name"),
    "review of what is not shipped": ([*REVIEW, "--shipped", "none.onnx"], "none.onnx"),
    "review on no device": ([*REVIEW, "--device", "tpu9"], "tpu9"),
    # a bundle, and blocks
    "verify nothing": (["verify"], "Missing argument 'BUNDLE'"),
    "verify what is not there": (["verify", "none"], "not a bundle"),
    "verify a file": (["verify", "FILE"], "is a file"),
    "verify another folder": (["verify", "FULL"], "not a bundle"),
    "verify a long name": (["verify", LONG], "File name too long"),
    "blocks of nothing": (["blocks"], "Missing argument"),
    "blocks of no input": (["blocks", "cifar10-resnet20", "--input", "3x0x32"], "--input '3x0x32'"),
    "blocks of a huge input": (["blocks", "cifar10-resnet20", "--input", "3x99999999x99999999"], "not enough memory"),
    "blocks of a power": (["blocks", "cifar10-resnet20", "--input", "²x8x8"], "--input '²x8x8'"),
    "blocks of text": (["blocks", "cifar10-resnet20", "--input", "large"], "--input 'large'"),
    "blocks of other images": (["blocks", "cifar10-resnet20", "--input", "1x32x32"], "1, 32, 32"),
    "blocks of data and input": (["blocks", "cifar10-resnet20", "--input", "3", "--data", "digits"], "one of the two"),
    "blocks of no unit": (["blocks", "cifar10-resnet20", "--unit", "tiny"], "'tiny' is not one of"),
}


@pytest.mark.parametrize("what", WORDS)
def test_options(what, sandbox):
    sandbox.suite()
    (sandbox.work / "file.txt").write_text("hello")
    (sandbox.work / "nets.py").write_text(NETS)
    (sandbox.work / "full").mkdir()
    (sandbox.work / "full" / "evidence.txt").write_text("")
    words, said = WORDS[what]
    given = [PLACES.get(word, word.replace("FILE", "file.txt") if len(word) < 20 else word) for word in words]
    sandbox.refuses(given, said)
