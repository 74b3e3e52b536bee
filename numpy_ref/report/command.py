"""The command `report`: what a preference file holds, and what in it would mislead training."""

from functools import partial

from ..cli.main import STDOUT, positive_int
from ..cli.text import progress_bar
from ..data.source import ColumnOptions, columns
from ..data.tokenizer import Bytes, load
from ..figures.style import check_figure
from ..files import check_output, write_json
from ..storage.checkpoint import directory_of
from .findings import examine
from .measures import as_json
from .rows import read
from .text import as_text


def add_arguments(parser):
    """The options of `report`"""
    parser.description = (
        "Shows what preference files hold: counts, lengths, how often the longer answer\n"
        "was chosen, how far labels agree, and what would mislead training, with lines.\n"
        "Files given together are splits of one data set, which should share nothing."
    )
    parser.epilog = (
        "--strict fails for errors, not for warnings and notes. Errors are: rows that\n"
        "cannot be read, empty answers, pairs whose two texts are the same (also once cut\n"
        "at --max-length tokens), both orders of one pair, cycles of preferences, and\n"
        "comparisons or prompts that occur in more than one file.\n"
        "Exit status: 0, 1 with --strict if there is an error, 2 for bad input."
    )
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="pairs or ranked lists as .jsonl, .json or .csv, plain or .gz, or .parquet, one file for each split",
    )
    add("--strict", action="store_true", help="exit with status 1 if a finding is an error")
    add(
        "--repeated-labels",
        action="store_true",
        help="pairs are meant to have several labels, as from several people: both orders, cycles and repetitions are "
        "then notes, not errors",
    )
    add(
        "--max-length",
        type=positive_int,
        default=1024,
        metavar="N",
        help="length limit in tokens, as in train, which leaves out longer rows (default: %(default)s)",
    )
    ColumnOptions.add_arguments(parser)
    add("--model", metavar="DIR", help="count tokens with this model's tokenizer (default: bytes)")
    add("--json", metavar="FILE", help=f"write the report as JSON; {STDOUT}")
    add("--figure", metavar="FILE", help="draw the lengths, and how often the longer answer was chosen")


def run(args):
    """Reads, examines and prints; returns the exit status: 0, or 1 if --strict finds an error"""
    check_figure(args.figure)
    check_output(args.json or "-")
    tokenizer = load(directory_of(args.model)) if args.model else Bytes()
    rows = read(args.files, tokenizer, args.max_length, partial(progress_bar, unit=" rows"), columns(args))
    report = examine(rows, args.max_length, args.repeated_labels)
    misleading = any(finding.severity == "error" and finding.rows.any() for finding in report.findings)
    if args.figure:
        from .figure import draw_report

        draw_report(report, args.files, args.figure)  # files first: a reader of the output, such as `head`, may stop
    if args.json:
        write_json(args.json, as_json(report, args.files, misleading))
    if args.json != "-":
        print(as_text(report, args.files))
    return int(args.strict and misleading)
