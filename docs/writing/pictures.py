"""The pictures of docs/concepts.md."""

from __future__ import annotations

from writing.drawing import arrow, box, label, picture


def pictures() -> dict[str, str]:
    """By file name."""
    return {"pipeline.svg": _pipeline(), "absence.svg": _absence(), "levels.svg": _levels(), "stages.svg": _stages()}


def _pipeline() -> str:
    rows = [("photos/0.png", "image", "cnn"), ("a used rake", "text", "bag"), ("price 12, weight -", "tabular", "mlp")]
    shapes = [
        label(x, 26, text, bold=True)
        for x, text in ((75, "raw value"), (220, "Modality"), (350, "Encoder"), (500, "Fusion"), (640, "Head"))
    ]
    for place, (value, modality, encoder) in enumerate(rows):
        y = 44 + 52 * place
        shapes += [
            box(12, y, 126, value),
            arrow(138, y + 17, 168, y + 17),
            box(170, y, 100, modality, "modality"),
            arrow(270, y + 17, 298, y + 17),
            box(300, y, 100, encoder, "encoder"),
            arrow(400, y + 17, 443, 113 + 10 * (place - 1)),
        ]
    shapes += [
        box(445, 79, 110, "concat", "fusion", 68),
        arrow(555, 113, 583, 113),
        box(585, 79, 112, "classification", "head", 68),
        arrow(697, 113, 725, 113),
        box(727, 96, 96, "garden 0.93"),
        label(285, 218, "tensors"),
        label(422, 218, "Encoding"),
        label(569, 218, "Fused"),
        label(711, 218, "Prediction"),
    ]
    about = "Each raw value goes through a modality and an encoder; the fusion joins them, and a head predicts."
    return picture(836, 234, about, shapes)


def _absence() -> str:
    samples = ["A.png", "", "A.png", "B.png"]
    rows = [0, -1, 0, 1]
    shapes = [
        label(x, 26, text, bold=True)
        for x, text in (
            (82, "four samples"),
            (262, "rows"),
            (412, "values that are there"),
            (692, "for each sample"),
        )
    ]
    shapes += [
        box(360, 68, 100, "0: A.png", "modality"),
        box(360, 140, 100, "1: B.png", "modality"),
        arrow(460, 85, 488, 85),
        arrow(460, 157, 488, 157),
        box(490, 68, 84, "e(A)", "encoder"),
        box(490, 140, 84, "e(B)", "encoder"),
    ]
    for place, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        y = 40 + 44 * place
        shapes += [
            box(12, y, 140, f"{place + 1}: {sample or 'no photo'}", "data" if sample else "absent"),
            arrow(152, y + 17, 238, y + 17),
            box(240, y, 44, str(row), "data" if sample else "absent"),
            box(630, y, 124, f"e({sample[0]})" if sample else "zeros, mask False", "encoder" if sample else "absent"),
        ]
        if row >= 0:
            shapes += [arrow(284, y + 17, 358, 85 + 72 * row), arrow(574, 85 + 72 * row, 628, y + 17)]
    about = (
        "Of four samples one has no photo and two share one. The encoder sees the two different photos, once each; "
        "then each sample is given its row, and zeros with a mask of False where there is none."
    )
    return picture(770, 226, about, shapes)


def _levels() -> str:
    shapes = []
    for x, name in ((0, "feature level"), (270, "decision level"), (540, "hybrid")):
        shapes.append(label(x + 128, 26, name, bold=True))
        shapes += [box(x + 14, 40, 104, "photo", "encoder"), box(x + 138, 40, 104, "title", "encoder")]
    shapes += [
        arrow(66, 74, 110, 108),
        arrow(190, 74, 146, 108),
        box(76, 110, 104, "fusion", "fusion"),
        arrow(128, 144, 128, 178),
        box(76, 180, 104, "head", "head"),
        arrow(128, 214, 128, 250),
        box(76, 252, 104, "prediction"),
    ]
    for x in (284, 408):
        shapes += [arrow(x + 52, 74, x + 52, 108), box(x, 110, 104, "head", "head")]
    shapes += [
        arrow(336, 144, 380, 178),
        arrow(460, 144, 416, 178),
        box(346, 180, 104, "rule", "fusion"),
        arrow(398, 214, 398, 250),
        box(346, 252, 104, "prediction"),
        arrow(606, 74, 654, 108),
        arrow(730, 74, 682, 108),
        box(628, 98 + 12, 80, "fusion", "fusion"),
        arrow(580, 74, 570, 168),
        arrow(668, 144, 668, 168),
        arrow(756, 74, 766, 168),
    ]
    shapes += [box(x, 170, 72, "head", "head") for x in (534, 632, 730)]
    shapes += [
        arrow(570, 204, 640, 226),
        arrow(668, 204, 668, 226),
        arrow(766, 204, 696, 226),
        box(616, 228, 104, "rule", "fusion", 26),
        arrow(668, 254, 668, 270),
        box(616, 272, 104, "prediction", height=26),
    ]
    about = (
        "Feature level: the fusion joins what the encoders give, and one head reads it. Decision level: each stream "
        "has a head, and a rule joins what they say. Hybrid: the same, and a head on the fusion has a say, too."
    )
    return picture(816, 310, about, shapes)


def _stages() -> str:
    shapes = [
        label(182, 26, "stage 1: pretrain", bold=True),
        label(520, 26, "stage 2: finetune", bold=True),
        box(24, 40, 92, "photo", "encoder", 42),
        box(132, 40, 92, "title", "encoder", 42),
        box(240, 40, 92, "fusion", "fusion", 42),
        box(24, 96, 148, "contrastive", "head"),
        box(184, 96, 148, "matching", "head"),
        arrow(344, 73, 374, 73),
        box(376, 40, 92, "photo\n(frozen)", "absent", 42),
        box(484, 40, 92, "title", "encoder", 42),
        box(592, 40, 92, "fusion", "fusion", 42),
        box(376, 96, 308, "classification", "head"),
        arrow(24, 164, 700, 164),
        label(362, 186, "one run, one order of samples, one row of checkpoints: --resume goes on anywhere"),
    ]
    shapes += [f"<circle cx='{x}' cy='164' r='4'/>" for x in (100, 180, 260, 344, 420, 500, 580, 660)]
    about = (
        "Two stages of one run. The first trains the encoders and the fusion by contrastive and matching heads; the "
        "second goes on with the same parts, one of them frozen, and a classification head."
    )
    return picture(716, 204, about, shapes)
