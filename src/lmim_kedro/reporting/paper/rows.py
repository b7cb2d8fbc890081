"""Which variant of this project repeats which row of the paper's tables. Nothing else says so."""

PaperRow = tuple[int, str, str]
"""Table, name and detail of a row, as in reporting.paper.published."""

VARIANTS: dict[PaperRow, str] = {
    (1, "no guidance; no alignment", ""): "no_guidance",
    (1, "guidance only", ""): "no_alignment",
    (1, "guidance and alignment", ""): "lmim",
    (2, "strong", ""): "views_strong",
    (2, "weak", ""): "views_weak",
    (2, "medium", ""): "lmim",
    (3, "CA-SA-FFN", ""): "decoder_ca_sa",
    (3, "SA-CA-FFN", ""): "lmim",
    (4, "pixel", ""): "target_pixel",
    (4, "random features", ""): "target_random",
    (4, "MAE features", ""): "lmim",
    (5, "random 0.6", ""): "mask_random_60",
    (5, "random 0.8", ""): "lmim",
    (5, "random 0.9", ""): "mask_random_90",
    (5, "block 0.6", ""): "mask_block_60",
    (5, "block 0.8", ""): "mask_block_80",
    (6, "LMIM (scratch)", ""): "scratch",
    (6, "SeqCLR", ""): "seqclr",
    (6, "MIM", ""): "mim",
    (6, "LMIM", ""): "lmim",
    (7, "SeqCLR", "10 epochs, Union14M-L"): "seqclr",
    (7, "MIM", "10 epochs, Union14M-L"): "mim",
    (7, "LMIM", "10 epochs, Union14M-L"): "lmim",
    (7, "LMIM", "20 epochs, Union14M-L"): "double_length",
    (7, "LMIM", "10 epochs, ARD"): "lmim",
    (7, "LMIM", "20 epochs, ARD"): "double_length",
    (8, "LMIM", "Union14M-L, original labels"): "lmim",
    (8, "LMIM", "ARD, original labels"): "lmim",
    (8, "SeqCLR", "Union14M-L, corrected labels"): "seqclr",
    (8, "MIM", "Union14M-L, corrected labels"): "mim",
    (8, "LMIM", "Union14M-L, corrected labels"): "lmim",
    (8, "LMIM", "ARD, corrected labels"): "lmim",
}
"""Every row that the authors ran themselves."""

ARD = "ard"
"""The environment of the rows that were fine-tuned on ARD; the other rows are of all other environments."""


def is_of(row: PaperRow, env: str) -> bool:
    """Whether a row was fine-tuned on the data of an environment, or on what stands in for them in a smaller one."""
    return ("ARD" in row[2]) == (env == ARD)


COMPANIONS: dict[str, dict[str, str]] = {
    "mim": {
        "mim_same_crops": "as many crops as teacher and LMIM",
        "mim_same_compute": "as much computing as teacher and LMIM",
    }
}
"""Our variants that follow a variant of the paper in every table: a baseline trained for longer."""

METHODS = {
    "scratch": "scratch",
    "mim": "MIM",
    "mim_same_crops": "MIM, same crops",
    "mim_same_compute": "MIM, same compute",
    "seqclr": "SeqCLR",
    "lmim": "LMIM",
}
"""Titles of the variants that figures show side by side, the weakest in the paper first, companions after their own."""
