"""A training that is under way, kept beside the place of its measurement: a killed one goes on from its last epoch.

The file is the signature of a store (store.py), one line of JSON and the tensors as safetensors; nothing in it is code.
It has a passing name, so that `clean` treats it as what it is: left over once nobody has written it for an hour.
"""

from __future__ import annotations

import contextlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch

from robustprune.files import open_regular, write_whole
from robustprune.finetune import State
from robustprune.run.measurement import DAMAGED, SAID, Tick
from robustprune.run.store import DIGITS, RUN, Store, signed

SUFFIX = ".checkpoint"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where one training is kept while it runs; a measurement that trains several times numbers them.

    A file that is not what this user's runs wrote is passed over, and that is said. What another run left, where a run
    is forced to measure anew, is not there for it.
    """

    store: Store = field(repr=False)
    place: Path
    """That of the measurement, without a suffix."""
    tick: Tick
    number: int = 0

    @property
    def file(self) -> Path:
        """The file that holds it."""
        return self.place.with_name(f".{self.place.name}.{self.number}{SUFFIX}")

    def load(self) -> State | None:
        """Where the training stood; None where it has to begin."""
        try:
            with open_regular(self.file) as file:
                signature, content = file.read(DIGITS), file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._passed_over(error.strerror or str(error))
            return None
        if not hmac.compare_digest(signature, self._signature(content)):
            self._passed_over("not what this user's runs wrote")
            return None
        line, _, tensors = content.partition(b"\n")
        facts = json.loads(line)
        if facts.pop(RUN) != self.store.run:
            return None
        return State(tensors=safetensors.torch.load(tensors), **facts)

    def save(self, state: State) -> None:
        """Keep where the training stands, whole or not at all."""
        facts = {"done": state.done, "best": state.best, "accuracy": state.accuracy, RUN: self.store.run}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.tensors.items()}
        content = json.dumps(facts).encode() + b"\n" + safetensors.torch.save(tensors)
        write_whole(self.file, self._signature(content) + content)

    def remove(self) -> None:
        """The training is done and its weights are kept: nothing goes on from here."""
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)

    def _passed_over(self, reason: str) -> None:
        self.tick(f"{self.file} is damaged ({reason}); its training begins anew", DAMAGED, SAID)

    def _signature(self, content: bytes) -> bytes:
        name = f"{self.place.parent.name}/{self.file.name}\n".encode()
        return signed(name + content, self.store.secret).encode()
