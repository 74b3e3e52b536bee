"""The command `score` of both packages: responses to one prompt, ranked by their rewards."""

from . import reward_model
from .batches import collate
from .checkpoint import load_model
from .commands import table
from .errors import InputError
from .losses import sigmoid
from .tree import flatten, unflatten


def add_arguments(parser):
    """The options of `score`"""
    parser.add_argument("--model", metavar="DIR", required=True, help="a run or model directory of either package")
    parser.add_argument("--prompt", default="", help="what the responses answer")
    parser.add_argument("responses", metavar="RESPONSE", nargs="+", help="one or more responses")


def numpy_rewards(weights, n_head):
    """The function tokens, length -> rewards of these weights, by numpy_ref"""
    params = unflatten(weights)
    return lambda tokens, length: reward_model.rewards(tokens, length, **params, n_head=n_head)[0]


def loaded(directory, rewards_of=numpy_rewards):
    """(the function tokens, length -> rewards, tokenizer, how many tokens it reads at most) of a model directory"""
    params, n_head, tokenizer = load_model(directory)
    return rewards_of(flatten(params), n_head), tokenizer, len(params["body"]["pos"]["weight"])


def run(args, load=loaded):
    """Prints the responses best first, with the probability that each is preferred to each other"""
    rewards, tokenizer, limit = load(args.model)
    rows = [tokenizer.encode(args.prompt, response) for response in args.responses]
    for response, ids in zip(args.responses, rows, strict=True):
        if not response.strip():
            raise InputError("a response is empty: give each a text")
        if len(ids) > limit:
            raise InputError(
                f"response {shortened(response)}: {len(ids)} tokens, but the model reads {limit} at most: shorten it"
            )
    reward = rewards(*collate([rows]))[0]
    order = sorted(range(len(rows)), key=lambda i: -reward[i])
    print("P(row beats column) = σ(reward of row - reward of column)\n")
    names = [str(i + 1) for i in range(len(order))]
    head = ["rank", "reward", *(f"vs {name}" for name in names)] if len(order) > 1 else ["rank", "reward"]
    body = []
    for name, i in zip(names, order, strict=True):
        against = ["-" if i == j else f"{sigmoid(reward[i] - reward[j]):.3f}" for j in order] if len(order) > 1 else []
        body.append([name, f"{reward[i]:.3f}", *against])
    for line, text in zip(table([head, *body]), ["response", *(args.responses[i] for i in order)], strict=True):
        print(f"{line}  {text}")
    return 0


def shortened(text):
    """The text in quotes, at most 40 characters of it"""
    return repr(text if len(text) <= 40 else text[:37] + "...")
