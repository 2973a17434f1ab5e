from __future__ import annotations

import re
from itertools import product

import pytest

from sepbench.baselines.small.words import Vocabulary, words_of
from sepbench.harness.errors import QueryError, SettingError

# The rule by which the vocabularies that ship were made.
SHIPPED = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


def test_the_words_of_ascii_are_those_that_the_shipped_vocabularies_were_made_of() -> None:
    pieces = ["".join(each) for each in product("bZ7_' -", repeat=5)]
    pieces += [f"a{chr(code)}b{chr(code)}{chr(code)}7" for code in range(128)]

    assert [words_of(text) for text in pieces] == [
        SHIPPED.findall(text.lower().replace("_", " ")) for text in pieces
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a_dog's bark, 2x", ["a", "dog's", "bark", "2x"]),
        ("Собака лает", ["собака", "лает"]),
        ("Türen schließen", ["türen", "schließen"]),
        ("Tu\u0308ren", ["türen"]),  # as macOS writes it
        ("狗在叫", ["狗", "在", "叫"]),
        ("犬が吠える2回", ["犬", "が", "吠", "える2", "回"]),
        ("कुत्ता भौंकता है", ["कुत्ता", "भौंकता", "है"]),
        ("l'été d'hiver", ["l'été", "d'hiver"]),
        ("🐶 — !", []),
    ],
)
def test_words_are_of_any_script(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_a_query_is_known_by_one_of_its_words_in_any_script() -> None:
    vocabulary = Vocabulary.of(["собака лает", "идёт дождь"])

    vocabulary.refuse_unknown(["Дождь"], "Baseline x")
    with pytest.raises(QueryError, match="Baseline x: of the text 'кошка' no word is known"):
        vocabulary.refuse_unknown(["кошка"], "Baseline x")


def test_a_training_whose_texts_hold_no_word_is_refused() -> None:
    with pytest.raises(SettingError, match="texts of the training hold no word, '🐶' for one"):
        Vocabulary.of(["🐶", "!"])
