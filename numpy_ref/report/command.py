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
        "What preference files hold: counts, lengths, how far counting characters leads,\n"
        "how far labels agree, and what in them would mislead training, line by line.\n"
        "Files given together are splits of one data set, which should share nothing."
    )
    parser.epilog = (
        "--strict fails for errors, not for warnings and notes. Errors are: rows that\n"
        "cannot be read, empty answers, pairs whose two texts are the same (also once cut\n"
        "at --max-length tokens), both orders of one pair, cycles of preferences, and\n"
        "comparisons or prompts that stand in more than one file.\n"
        "Exit status: 0, 1 with --strict where there is an error, 2 for bad input."
    )
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="pairs or ranked lists as .jsonl, .json or .csv, plain or .gz, or .parquet, one file a split",
    )
    add("--strict", action="store_true", help="exit status 1 where something would mislead training")
    add(
        "--repeated-labels",
        action="store_true",
        help="several labels of one pair are meant, as from several people: both orders, cycles and repetitions are "
        "notes then, and no errors",
    )
    add(
        "--max-length",
        type=positive_int,
        default=1024,
        metavar="N",
        help="in tokens, as in train, which leaves out what is longer (default: %(default)s)",
    )
    ColumnOptions.add_arguments(parser)
    add("--model", metavar="DIR", help="count tokens with this model's tokenizer (default: bytes)")
    add("--json", metavar="FILE", help=f"write the report as JSON; {STDOUT}")
    add("--figure", metavar="FILE", help="draw the lengths, and how often the longer answer was chosen")


def run(args):
    """Reads, examines, prints; the exit status: 0, or 1 where --strict finds an error"""
    check_figure(args.figure)
    check_output(args.json or "-")
    tokenizer = load(directory_of(args.model)) if args.model else Bytes()
    rows = read(args.files, tokenizer, args.max_length, partial(progress_bar, unit=" rows"), columns(args))
    report = examine(rows, args.max_length, args.repeated_labels)
    misleading = any(finding.severity == "error" and finding.rows.any() for finding in report.findings)
    if args.figure:
        from .figure import draw_report

        draw_report(report, args.files, args.figure)  # files first: whoever reads the screen, as `head`, may leave
    if args.json:
        write_json(args.json, as_json(report, args.files, misleading))
    if args.json != "-":
        print(as_text(report, args.files))
    return int(args.strict and misleading)
