"""Which images belong together: everything that shows one lesion, or one patient, is one group."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skin_lesions.core.errors import InputError
from skin_lesions.data.near_duplicates.clustering import merge_pairs

# What makes two files belong together, when both have the same value there.
LINK_COLUMNS = ("image_id", "lesion_id", "patient_id", "filename_key")
# What the pixels of two images may say: see ``copies.find_near_duplicates``.
NEAR_DUPLICATE_KINDS = {
    "pixels": "identical_pixels",
    "simple": "near_duplicate_simple",
    "changed": "near_duplicate_transformed",
}


def group_images(
    image_table: pd.DataFrame, near_duplicates: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join files that share bytes, lesion, patient or the key in their name, or are copies.

    What the table says joins always. What the pixels say joins by the rules of ``merge_pairs``, so
    that one wrong pair can't chain thousands of images.

    Args:
        image_table: One row per file; column ``image_id`` and any others of ``LINK_COLUMNS``.
        near_duplicates: Pairs of images by their pixels, as ``copies.find_near_duplicates`` gives them; ``a`` and
            ``b`` number the distinct image_ids in the order of their first file.

    Returns:
        image_groups: One row per file, in the same order: file, image_id, pixel_id (the first
        image_id, in alphabetical order, of those with the same pixels), group_id and evidence (what
        joins the group, as ``image_id+lesion_id``; empty for a file alone). A group_id is made
        from the images in the group, so equal data give equal ids.

        image_links: One row per link: file_a, file_b, kind (a column of ``LINK_COLUMNS``, or a value of
        ``NEAR_DUPLICATE_KINDS``), strength (0 to 1; 1 is certain), and whether both are in one group. Files that
        share a value are each linked with the first that has it.
    """
    columns = [column for column in LINK_COLUMNS if column in image_table]
    labels = _components([_factorize(image_table[column]) for column in columns], len(image_table))
    links = [_links_by_value(image_table, column) for column in columns]
    pixel_id = image_table["image_id"]
    if near_duplicates is not None:
        pixel_id = _pixel_ids(image_table["image_id"], near_duplicates)
        labels = _merge_near_duplicates(image_table["image_id"], labels, near_duplicates)
        links.append(_links_by_pixels(image_table, near_duplicates))
    first_image = image_table["image_id"].groupby(labels).transform("min")
    together = pd.concat(links, ignore_index=True)
    a, b = together.pop("a").to_numpy(int), together.pop("b").to_numpy(int)
    files = image_table["file"].to_numpy()
    together.insert(0, "file_a", files[a])
    together.insert(1, "file_b", files[b])
    together["same_group"] = labels[a] == labels[b]
    groups = pd.DataFrame(
        {
            "file": image_table["file"],
            "image_id": image_table["image_id"],
            "pixel_id": pixel_id,
            "group_id": "g" + first_image.str[:16],
            "link_types": _link_types(labels, labels[a], together),
        }
    )
    return groups, together


def add_groups(image_table: pd.DataFrame, image_groups: pd.DataFrame) -> pd.DataFrame:
    """Add group_id and pixel_id to the files of a table, rows in the same order.

    Args:
        image_table: One row per file; column file.
        image_groups: As ``group_images`` gives it, for these files or more.

    Raises:
        InputError: It lacks some of the files, or was written before there was a pixel_id.
    """
    anew = "Group anew with: kedro run --pipelines audit,preprocess (same --env and --params)"
    if "pixel_id" not in image_groups:
        raise InputError(
            "image_groups has no column pixel_id: an earlier version of this software wrote it, which "
            f"did not know the images whose pixels are equal. {anew}"
        )
    found = image_groups.set_index("file").reindex(image_table["file"])
    lacking = found.index[found["group_id"].isna()]
    if len(lacking):
        raise InputError(
            f"image_groups lacks {len(lacking)} files of image_table, e.g. {lacking[0]}; they are not "
            f"of one run. {anew}"
        )
    return image_table.assign(
        group_id=found["group_id"].to_numpy(), pixel_id=found["pixel_id"].to_numpy()
    )


def attach_file_columns(image_links: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Add to each link all that a table knows of its two files, as ``<column>_a`` and ``<column>_b``.

    Args:
        image_links: As ``group_images`` gives it.
        table: One row per file; column file and any others.
    """
    known = table.set_index("file")
    ends = [
        known.loc[image_links[f"file_{end}"]].reset_index(drop=True).add_suffix(f"_{end}")
        for end in "ab"
    ]
    return pd.concat([image_links.reset_index(drop=True), *ends], axis=1)


def across_splits(pairs: pd.DataFrame) -> pd.Series:
    """Mark the pairs, with their ends, that lie in two shipped splits."""
    one, other = pairs["original_split_a"], pairs["original_split_b"]
    return one.notna() & other.notna() & one.ne(other)


def _pixel_ids(image_id: pd.Series, near_duplicates: pd.DataFrame) -> pd.Series:
    """Name each image by the first of those with its pixels."""
    image, distinct = pd.factorize(image_id)
    equal = merge_pairs(len(distinct), near_duplicates[near_duplicates["kind"] == "pixels"])
    return image_id.groupby(equal[image]).transform("min")


def _links_by_value(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Link each file with the first that has the same value: a and b are row numbers."""
    codes = _factorize(table[column])
    rows = pd.Series(np.flatnonzero(codes >= 0))
    first = rows.groupby(codes[rows]).transform("min").astype(int)
    linked = rows[first < rows]
    return pd.DataFrame({"a": first[linked.index], "b": linked, "kind": column, "strength": 1.0})


def _links_by_pixels(table: pd.DataFrame, near_duplicates: pd.DataFrame) -> pd.DataFrame:
    first_file = np.flatnonzero(~table["image_id"].duplicated())
    return pd.DataFrame(
        {
            "a": first_file[near_duplicates["a"]],
            "b": first_file[near_duplicates["b"]],
            "kind": near_duplicates["kind"].map(NEAR_DUPLICATE_KINDS),
            "strength": near_duplicates["strength"],
        }
    )


def _merge_near_duplicates(
    image_id: pd.Series, labels: npt.NDArray[np.int_], near_duplicates: pd.DataFrame
) -> npt.NDArray[np.int_]:
    """Merge groups of files whose images are copies of one another."""
    image, distinct = pd.factorize(image_id)
    known = np.zeros(len(distinct), int)
    known[image] = labels  # files of one image are in one group already
    return np.asarray(merge_pairs(len(distinct), near_duplicates, known)[image])


def _factorize(column: pd.Series) -> np.ndarray:
    """Number the distinct values of a column; -1 where there is none."""
    known = column.notna() & column.astype(str).str.strip().ne("")
    return np.where(known, pd.factorize(column.astype(str))[0], -1)


def _components(keys: list[np.ndarray], n: int) -> np.ndarray:
    """Number the connected components of n rows that are joined where any key agrees."""
    rows, targets, used = [], [], n
    for codes in keys:
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        targets.append(codes[known] + used)  # each key's value is a node beside the rows
        used += int(codes.max(initial=-1)) + 1
    i, j = np.concatenate(rows), np.concatenate(targets)
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(used, used))
    return connected_components(graph, directed=False)[1][:n]


def _link_types(
    labels: npt.NDArray[np.int_], linked: npt.NDArray[np.int_], links: pd.DataFrame
) -> list[str]:
    """Name, for each row, the kinds of links inside its group."""
    joined = links["same_group"]
    kinds = links.loc[joined, "kind"].groupby(linked[joined]).unique()
    order = [*LINK_COLUMNS, *NEAR_DUPLICATE_KINDS.values()]
    of_group = {label: "+".join(sorted(found, key=order.index)) for label, found in kinds.items()}
    return [of_group.get(label, "") for label in labels]
