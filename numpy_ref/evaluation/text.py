"""The text that `evaluate` prints: tables of at most 80 columns."""

from ..cli.text import counted, table

NAMES = {"accuracy": "accuracy", "loss": "log loss", "brier": "Brier score", "longer_wins": "the longer one wins"}
FEW = 20  # prompts: with fewer, a 95 % bootstrap interval of a mean covers less than 95 %


def as_text(result):
    """The lines that the command prints, within 80 columns where the names of files and subsets allow it"""
    yield f"model     {result['model']}"
    yield f"data      {result['data']}"
    if result["left_out"]:
        yield f"left out  {result['left_out']}"
    yield f"compared  {counted(result['pairs'], 'pair')} of responses to {counted(result['prompts'], 'prompt')}"
    yield ""
    best = any("best_reachable" in result[name] for name in NAMES)
    rows = [["", "value", "95 % interval", *(["best reachable"] if best else [])]]
    for name, title in NAMES.items():
        row = result[name]
        reachable = [f"{row['best_reachable']:.4f}" if "best_reachable" in row else ""] if best else []
        rows.append([title, f"{row['value']:.4f}", interval_text(row), *reachable])
    yield from table(rows)
    yield f"Intervals: accuracy {result['accuracy']['interval']}; losses {result['loss']['interval']}."
    if result["prompts"] < FEW and "bootstrap" in result["accuracy"]["interval"]:
        yield f"Of {result['prompts']} prompts the bootstrap is too narrow: trust it from some {FEW} on."
    yield ""
    yield from by_length_text(result)
    yield ""
    yield from calibration_text(result)
    if "subsets" in result:
        yield ""
        yield from subsets_text(result)


def interval_text(row, form=".4f"):
    """0.7012 to 0.7634, or - if there is no interval"""
    return "-" if row["low"] is None else f"{row['low']:{form}} to {row['high']:{form}}"


def by_length_text(result):
    """Accuracy by the length of the better response, and the correlation of reward and length"""
    found = result["length_correlation"]
    rows = [[row["better_is"], f"{row['pairs']:,}", _four(row["accuracy"])] for row in result["by_length"]]
    yield from table([["the better response is", "pairs", "accuracy"], *rows])
    yield f"Correlation of reward and length (characters) within a prompt: {'-' if found is None else f'{found:+.3f}'}"
    yield f"Pairs of equal reward, which count one half: {result['ties']:.2%}"


def calibration_text(result):
    """The reliability curve as a table, the ECE with its bias, and what a temperature changes"""
    found = result["calibration"]
    rows = [[f"{row['confidence']:.4f}", f"{row['right']:.4f}", f"{row['pairs']:,}"] for row in found["curve"]]
    yield from table([["says", "is right", "pairs"], *rows], aligned_left=0)
    yield f"ECE {found['ece']:.4f}; a calibrated model with these margins would show"
    mean, high = found["ece_if_calibrated"], found["ece_if_calibrated_95"]
    yield f"    {mean:.4f} on average, and at most {high:.4f} in 95 of 100 cases"
    yield f"Squared calibration error without bias: {found['squared_error_debiased']:+.5f} (below 0: none found)"
    if "temperature" in result:
        cooled = result["temperature"]
        yield ""
        yield f"Temperature {cooled['T']:.5g}" + (f", fitted on {cooled['fitted_on']}" if cooled["fitted_on"] else "")
        rows = [
            ["", "as it is", "divided by T"],
            ["log loss", _four(result["loss"]["value"]), _four(cooled["loss"])],
            ["Brier score", _four(result["brier"]["value"]), _four(cooled["brier"])],
            ["ECE", _four(found["ece"]), _four(cooled["calibration"]["ece"])],
        ]
        yield from table(rows)


def subsets_text(result):
    """Accuracy for each subset, and their mean with equal weights"""
    rows = [
        [row["subset"], f"{row['pairs']:,}", _four(row["accuracy"]), _four(row["longer_wins"])]
        for row in result["subsets"]
    ]
    mean = ["mean over subsets", "", _four(result["subset_mean"]), ""]
    yield from table([["subset", "pairs", "accuracy", "longer wins"], *rows, mean])


def _four(value):
    return "-" if value is None else f"{value:.4f}"
