"""Only a model of the built-in world's own words can read the world."""

import pytest

from numpy_ref.data import world
from numpy_ref.data.held_out import world_tokenizer
from numpy_ref.data.row import preference_of
from numpy_ref.data.tokenizer import Bytes, Words
from numpy_ref.errors import InputError


def test_the_world_has_its_own_words():
    words = Words(world.WORDS)
    assert world_tokenizer() == words
    assert world_tokenizer(words) == words


@pytest.mark.parametrize("tokenizer", [Bytes(), Words(["cat", "dog"])])
def test_a_model_that_reads_something_else_is_refused(tokenizer):
    with pytest.raises(InputError, match=f"the model reads {tokenizer.name}, not the words of the built-in world"):
        world_tokenizer(tokenizer)


def test_an_empty_cell_of_a_table_is_no_value_but_null_in_a_row_of_json_is_one():
    row = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "margin": None, "chosen_ids": None, "rejected_ids": None}
    name, preference = preference_of(row, of_table=True)
    assert name != "token ids"
    assert preference.margin == 0
    with pytest.raises(InputError):
        preference_of(row)
