"""The options of `train` and `sft`, in groups, and which of them go together."""

from ..cli.main import at_least, natural, positive_int
from ..data.source import add_column_arguments
from ..errors import InputError
from ..objectives import OBJECTIVES
from ..ranking import TIES

LOSSES = ("pairwise", *OBJECTIVES)


def add_arguments(parser):
    """The options of `train`"""
    data_arguments(parser)
    model_arguments(parser)
    loss_arguments(parser)
    optimisation_arguments(parser)
    run_arguments(parser)


def data_arguments(parser):
    """What is read"""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="FILE",
        help="pairs or ranked lists as .jsonl, .jsonl.gz or .parquet; the built-in world if left out",
    )
    data.add_argument("--eval-data", metavar="FILE", help="held-out preferences of the same form")
    add_dataset_arguments(data)
    data.add_argument(
        "--max-length",
        type=positive_int,
        default=1024,
        help="in tokens; a prompt with a longer response is left out and counted",
    )


def model_arguments(parser):
    """What is trained"""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--init-from",
        metavar="DIR",
        help="start from this model instead of random weights: one that sft made, or a reward model; sizes and "
        "tokenizer are then that model's",
    )
    model.add_argument("--n-layer", type=positive_int, default=2, help="blocks")
    model.add_argument("--n-head", type=positive_int, default=4, help="attention heads")
    model.add_argument("--n-embd", type=positive_int, default=32, help="channels")
    model.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="of weights and arithmetic")


def loss_arguments(parser):
    """What is minimised"""
    loss = parser.add_argument_group("loss")
    loss.add_argument(
        "--loss",
        choices=LOSSES,
        default="pairwise",
        help="pairwise: Bradley-Terry on single pairs, with the file's margins; a ranked list becomes all its C(K, 2) "
        "pairs without the ties, shuffled among those of other prompts, so that a response is run K - 1 times. "
        "kwise: all pairs of a list as one batch element, each response run once. "
        "plackett-luce: each list as a row of choices, the best of all, the best of the rest, ...",
    )
    loss.add_argument(
        "--ties",
        choices=list(TIES),
        default="drop",
        help="of equal ranks, with --loss kwise: no comparison; half a win each; or a probability of their own, whose "
        "parameter is learned with the model and reported",
    )
    loss.add_argument(
        "--margin-per-rank",
        type=at_least(0),
        default=0.0,
        help="the lead in log-odds asked for each place between two responses; not with plackett-luce",
    )
    loss.add_argument(
        "--label-smoothing", type=at_least(0, 0.5), default=0.0, help="share of labels taken to be flipped"
    )
    loss.add_argument(
        "--center-rewards-coefficient",
        type=at_least(0),
        default=0.0,
        help="pulls each pair's mean reward to 0; try 0.01",
    )


def optimisation_arguments(parser):
    """How far and how fast"""
    optim = parser.add_argument_group("optimisation")
    optim.add_argument("--learning-rate", type=at_least(0), default=5e-3, help="its peak")
    optim.add_argument("--warmup-steps", type=natural, help="a tenth of all steps if left out")
    optim.add_argument("--num-train-epochs", type=at_least(0), default=1.0, help="how often each pair is met")
    optim.add_argument("--max-steps", type=positive_int, help="overrides the epochs")
    optim.add_argument(
        "--per-device-train-batch-size",
        type=positive_int,
        help="in prompts (in pairs with --loss pairwise); 16 for a file, 64 for the world if left out; a batch is run "
        "at once, padded to its longest list and text",
    )
    optim.add_argument("--seed", type=natural, default=0, help="of the world, the weights and the order")


def run_arguments(parser):
    """Where it is written, and how often"""
    run = parser.add_argument_group("run")
    run.add_argument("--output-dir", metavar="DIR", help="a new directory; runs/train, runs/train-2, ... if left out")
    run.add_argument(
        "--logging-steps", type=positive_int, default=10, help="steps summed up in one line of metrics.jsonl"
    )
    run.add_argument("--eval-steps", type=positive_int, help="evaluate this often; only at the end if left out")
    run.add_argument("--save-steps", type=positive_int, default=100, help="a kill loses no more than these")
    run.add_argument("--resume", metavar="DIR", help="go on with this run from its last save, with its own options")


def add_dataset_arguments(data):
    """Data that are no file of ours: a dataset, other names for the columns, token ids"""
    data.add_argument(
        "--dataset-name",
        metavar="NAME",
        help="in place of --data: an id of the Hugging Face hub, or a local directory; needs the extra hf",
    )
    data.add_argument("--dataset-config", metavar="NAME", help="which part of the dataset, where it has several")
    data.add_argument("--dataset-train-split", metavar="NAME", default="train", help="to train on")
    data.add_argument("--dataset-test-split", metavar="NAME", help="held out; none if left out")
    add_column_arguments(data)
    data.add_argument(
        "--vocab-size",
        type=positive_int,
        help="for token ids (chosen_ids, rejected_ids): how many there are; one more than the largest if left out",
    )
    data.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="keep the files' tokens here, for the next start; if left out, those of large files (from 32 MB, packed 4 "
        "MB) in ~/.cache/reward-by-hand, the others in memory alone. With --freeze-backbone, the features; if left "
        "out, beside the run's directory",
    )
    data.set_defaults(dataset_sha256=None)  # no option: what the rows of a dataset were, for --resume


def check_loss(args):
    """An option that the loss would not read is refused: it would be ignored without a word"""
    wrong = {
        "--ties": args.ties != "drop" and args.loss != "kwise" and "kwise",
        "--margin-per-rank": args.margin_per_rank and args.loss == "plackett-luce" and "pairwise or kwise",
        "--label-smoothing": args.label_smoothing and args.loss != "pairwise" and "pairwise",
        "--center-rewards-coefficient": args.center_rewards_coefficient and args.loss != "pairwise" and "pairwise",
    }
    for option, needed in wrong.items():
        if needed:
            raise InputError(f"{option}: --loss {args.loss} does not use it: leave it out, or take --loss {needed}")


def loss_options(args):
    """What a Learner is told about its loss"""
    check_loss(args)
    if args.loss == "pairwise":
        return {"label_smoothing": args.label_smoothing, "center_coefficient": args.center_rewards_coefficient}
    kwise = {"ties": args.ties, "margin_per_rank": args.margin_per_rank}
    return {"loss": args.loss, **(kwise if args.loss == "kwise" else {})}
