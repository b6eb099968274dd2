"""Ablation of the default training recipe: each part is removed, or added if it is off by default.

    python benchmarks/ablation.py --folder ../shared/data/isic8_grouped \
        --architecture timm/tf_efficientnet_lite0 --weights packaged

One part is changed at a time. Evaluation uses the validation images, because the recipe is selected
on them. Test images are not used. Differences are paired over the same seeds and images.

Each training is saved as a line of results/<name>.jsonl. The table is in results/<name>.md. Run the
same command again to resume an interrupted benchmark. More --parts or --seeds can be added later.
"""

import argparse
from statistics import mean, stdev
from typing import Any

from options import add_study_options
from record import RESULTS, save_results
from trainings import Training, balanced_accuracy, paired_difference, study_of

_NO_COLOR = (
    "augmentation.brightness=0,augmentation.contrast=0,augmentation.saturation=0,augmentation.hue=0"
)
PARTS = {
    "without flips": "augmentation.flips=false",
    "with rotation": "augmentation.rotation=any",
    "with quarter turns": "augmentation.rotation=quarter",
    "without crops": "augmentation.min_crop_area=1,augmentation.max_crop_aspect_ratio=1",
    "without color": _NO_COLOR,
    "without label smoothing": "label_smoothing=0",
    "without EMA": "ema_decay=null",
    "without test-time augmentation": "test_time_augmentation=none",
    "without progressive resizing": "progressive_resizing_start=1",
    "without larger test images": "eval_size_ratio=1",
    "without a faster head": "optimizer.head_lr_multiplier=1",
    "without clipping": "optimizer.max_grad_norm=null",
    "without weight decay": "optimizer.weight_decay=0",
    "without warm-up": "schedule.warmup_fraction=0",
    "with layer-wise decay": "optimizer.layerwise_lr_decay=0.8",
    "with the head first": "frozen_backbone_epochs=1",
    "with one cycle": "schedule.name=one_cycle,schedule.warmup_fraction=0.3",
    "with random erasing": "augmentation.random_erasing_prob=0.25",
    "with mixup": "augmentation.mixup_alpha=0.2",
    "with cutmix": "augmentation.cutmix_alpha=1",
    "with class weights": "class_balance=weights",
    "with a square-root sampler": "class_balance=square_root_sampler",
    "without class balance": "class_balance=none",
    "in two processes": "launcher=local,num_processes=2",
}


def row(name: str, trainings: list[Training], reference: list[Training]) -> dict[str, Any]:
    values = [balanced_accuracy(training, "val") for training in trainings]
    return {
        "recipe": name,
        "balanced_accuracy": mean(values),
        "sd": stdev(values) if len(values) > 1 else None,
        "seconds": mean(sum(training["seconds"]) for training in trainings),
        **(paired_difference(trainings, reference, "val") if trainings is not reference else {}),
    }


def table(rows: list[dict[str, Any]], seeds: int) -> str:
    """Format the rows as a Markdown table, sorted by difference in ascending order."""
    head = (
        f"Validation balanced accuracy, mean of {seeds} seeds. Differences from the default recipe "
        "are paired, with 95 % intervals over images.\n\n"
        "| recipe | balanced accuracy | sd of seeds | difference | seconds |\n"
        "|---|---|---|---|---|\n"
    )
    ordered = [rows[0], *sorted(rows[1:], key=lambda row: row["difference"])]
    return head + "".join(_line(row) for row in ordered)


def _line(row: dict[str, Any]) -> str:
    sd = "" if row["sd"] is None else f"{row['sd']:.3f}"
    difference = ""
    if "difference" in row:
        has_interval = row["low"] is not None
        interval = f" ({row['low']:+.3f} to {row['high']:+.3f})" if has_interval else ""
        difference = f"{row['difference']:+.3f}{interval}"
    return (
        f"| {row['recipe']} | {row['balanced_accuracy']:.3f} | {sd} | {difference} "
        f"| {row['seconds']:.0f} |\n"
    )


def main(args: argparse.Namespace) -> None:
    study = study_of(args, args.name)
    study.prepare()
    seeds = range(1, args.seeds + 1)

    def train(name: str, changes: str) -> list[Training]:
        params = "".join(f",train.{change}" for change in changes.split(",") if change)
        return [study.training(name, seed, params) for seed in seeds]

    reference = train("default", "")
    rows = [row("default", reference, reference)]
    for name in args.parts:
        rows.append(row(name, train(name, PARTS[name]), reference))
        (RESULTS / f"{args.name}.md").write_text(table(rows, args.seeds), encoding="utf-8")
    save_results(args.name, {"seeds": args.seeds, "params": study.reported_params, "rows": rows})
    print(table(rows, args.seeds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--name", default="ablation")
    add_study_options(parser)
    main(parser.parse_args())
