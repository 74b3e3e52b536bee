"""Only a model of the built-in world's own words can read the world."""

from dataclasses import replace

import pytest
from running import small_world

from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS, load_world, world_tokenizer
from numpy_ref.data.row import preference_of
from numpy_ref.data.tokenizer import Bytes, Words
from numpy_ref.errors import InputError
from numpy_ref.training.options import TrainOptions


def test_the_world_has_its_own_words():
    words = Words(world.WORDS)
    assert world_tokenizer() == words
    assert world_tokenizer(words) == words


@pytest.mark.parametrize("tokenizer", [Bytes(), Words(["cat", "dog"])])
def test_a_model_that_reads_something_else_is_refused(tokenizer):
    with pytest.raises(InputError, match=f"the model reads {tokenizer.name}, not the words of the built-in world"):
        world_tokenizer(tokenizer)


def test_the_world_is_loaded_as_pairs_and_said_in_a_line(monkeypatch):
    monkeypatch.setattr(world, "make_world", small_world)
    words, options = world_tokenizer(), TrainOptions(max_length=WORLD_POSITIONS, seed=3)
    data, held, tokenizer, line = load_world(options, words)
    assert (len(data.rows), len(held.rows), tokenizer) == (120, 8, words)
    assert held.true.shape == (8, 3)
    assert line == "data      the built-in world: 120 pairs, 8 held-out prompts"
    with pytest.raises(InputError, match="--max-length 15: the world has texts of 16 tokens: leave it out"):
        load_world(replace(options, max_length=WORLD_POSITIONS - 1), words)


def test_an_empty_cell_of_a_table_is_no_value_but_null_in_a_row_of_json_is_one():
    row = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "margin": None, "chosen_ids": None, "rejected_ids": None}
    name, preference = preference_of(row, of_table=True)
    assert name != "token ids"
    assert preference.margin == 0
    with pytest.raises(InputError):
        preference_of(row)
