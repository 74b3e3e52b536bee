"""What is a start from SFT worth? Held-out accuracy by number of training pairs, compared with a random start.

    python tests/benchmarks/sft_start.py                                     the built-in world
    python tests/benchmarks/sft_start.py --data TRAIN.jsonl.gz --eval-data TEST.jsonl.gz

The language model learns the chosen responses of all training pairs (--sft-epochs), as InstructGPT's did: comparisons
are expensive to label, texts are not. Then, for each number of pairs, torch_impl trains one epoch (at least --min-steps
steps) from either start, with --seeds seeds. Prints accuracies in percent, mean and standard error over the seeds.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from numpy_ref.cli.text import table
from numpy_ref.data import held_out
from numpy_ref.language_model import to_reward_model
from numpy_ref.reward_model import init_params
from numpy_ref.train import train
from numpy_ref.training import data as train_data
from numpy_ref.training import sft
from numpy_ref.training.options import TrainOptions
from numpy_ref.tree import flatten, unflatten
from torch_impl.learners import LanguageLearner
from torch_impl.train import Learner


def trained(learner_class, weights, args, data, steps, learn=None):
    """A learner after these steps on the data"""
    learner = learner_class(weights, args.n_head, steps, args.learning_rate, steps // 10)
    run = {"start": 0, "total_steps": steps, "batch_size": args.batch_size, "seed": args.seed}
    for _ in tqdm(train(learner, data, **run, **learn or {}), total=steps, leave=False):
        pass
    return learner


def random_start(args, tokenizer):
    """Both starts have this body's weights before any learning"""
    positions = held_out.WORLD_POSITIONS if args.data is None else args.max_length
    rng = np.random.default_rng([args.seed, 2])
    return init_params(rng, tokenizer.vocab_size, positions, args.n_embd, args.n_layer, np.float32)


def sft_start(args, data, tokenizer):
    """The body after SFT, with a new head"""
    params = random_start(args, tokenizer)
    unembedding = {
        "weight": 0.02 * np.random.default_rng(args.seed).standard_normal((tokenizer.vocab_size, args.n_embd))
    }
    weights = flatten({"body": params["body"], "unembedding": {"weight": unembedding["weight"].astype(np.float32)}})
    steps = max(args.min_steps, round(args.sft_epochs * len(data.rows) / args.batch_size))
    learner = trained(LanguageLearner, weights, args, data, steps, {"learn": sft.learn})
    return to_reward_model(unflatten(learner.weights()), np.random.default_rng([args.seed, 2]))


def subset(data, n, seed):
    """A random n of the pairs"""
    chosen = np.random.default_rng([seed, 5]).permutation(len(data.rows))[:n]
    kept = {name: [getattr(data, name)[i] for i in chosen] for name in ("rows", "ranks")}
    return data._replace(margin=data.margin[chosen], **kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    TrainOptions.add_arguments(parser)  # of data, model and loss those of `train`
    parser.set_defaults(learning_rate=4e-3)
    parser.add_argument("--pairs", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sft-epochs", type=float, default=1.0)
    parser.add_argument("--min-steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.given = set()
    torch.set_num_threads(args.threads)
    results: dict = {}
    for seed in range(args.seeds):
        args.seed = seed
        options = TrainOptions.parsed(args)
        data, held, tokenizer, line, _ = train_data.load(options)
        texts, _, _, text_line, _ = sft.load(options)
        print(f"seed {args.seed}\n{line}\n{text_line}", flush=True)
        starts = {"random": random_start(args, tokenizer), "SFT": sft_start(args, texts, tokenizer)}
        for n in args.pairs:
            for name, params in starts.items():
                part = subset(data, n, args.seed)
                steps = max(args.min_steps, -(-len(part.rows) // args.batch_size))
                learner = trained(Learner, flatten(params), args, part, steps)
                accuracy = train_data.evaluate(learner.rewards, held)["eval_accuracy"]
                results.setdefault((n, name), []).append(100 * accuracy)
                print(f"{len(part.rows)} pairs, {steps} steps, {name} start: {accuracy:.4f}", flush=True)
    error = np.sqrt(max(args.seeds, 1))
    body = [
        [
            f"{n:,}",
            *(
                f"{np.mean(results[n, name]):.1f} ± {np.std(results[n, name]) / error:.1f}"
                for name in ("random", "SFT")
            ),
        ]
        for n in args.pairs
    ]
    print("\n".join(table([["pairs", "random start", "SFT start"], *body])))
    print(f"the longer response wins: {100 * held.baseline:.1f}")


if __name__ == "__main__":
    main()
