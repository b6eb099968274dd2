"""Image groups: all images of one lesion, or of one patient, are one group.

A split places complete groups, so related images cannot cause leakage.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skin_lesions.core.errors import InputError
from skin_lesions.data.missing_values import identifiers, is_missing_number
from skin_lesions.data.near_duplicates.clustering import merge_pairs

# Columns that link two files if both have the same value.
LINK_COLUMNS = ("image_id", "lesion_id", "patient_id", "filename_key")
# Link types found by comparing pixels: see ``near_duplicates.search.find_near_duplicates``.
NEAR_DUPLICATE_KINDS = {
    "pixels": "identical_pixels",
    "simple": "near_duplicate_simple",
    "changed": "near_duplicate_transformed",
}


def group_images(
    image_table: pd.DataFrame, near_duplicates: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Group files with equal bytes, lesion, patient or filename key, and near-duplicates.

    Equal values in the table, as ``link_values`` returns them, always merge groups. Pairs found by
    pixels merge groups by the rules of ``merge_pairs``, so one false match cannot chain thousands
    of images.

    Args:
        image_table: One row per file; column ``image_id`` and any others of ``LINK_COLUMNS``.
        near_duplicates: Pairs of images, the result of ``find_near_duplicates``. Columns ``a`` and
            ``b`` are indices of the distinct image_ids, in the order of their first file.

    Returns:
        image_groups: One row per file, in the same order, with these columns: file, image_id,
        pixel_id (the alphabetically first image_id with the same pixels), group_id and link_types
        (link types within the group, for example ``image_id+lesion_id``; empty for a single file).
        A group_id is derived from the images of the group, so equal data has equal ids.

        image_links: One row per link, with these columns: file_a, file_b, kind (a column of
        ``LINK_COLUMNS`` or a value of ``NEAR_DUPLICATE_KINDS``), strength (0 to 1; 1 is certain)
        and same_group (whether both files are in one group). Each file is linked to the first file
        with the same value.
    """
    columns = [column for column in LINK_COLUMNS if column in image_table]
    # labels: (files,), the number of the group of each file.
    # keys: for each column, (files,), the number of the value of each file; -1 is missing.
    keys = {column: pd.factorize(link_values(image_table, column))[0] for column in columns}
    labels = _components(list(keys.values()), len(image_table))
    links = [_links_by_value(codes, column) for column, codes in keys.items()]
    pixel_id = image_table["image_id"]
    if near_duplicates is not None:
        pixel_id = _pixel_ids(image_table["image_id"], near_duplicates)
        labels = _merge_near_duplicates(image_table["image_id"], labels, near_duplicates)
        links.append(_links_by_pixels(image_table, near_duplicates))
    first_image = image_table["image_id"].groupby(labels).transform("min")
    all_links = pd.concat(links, ignore_index=True)
    # a, b: (links,), row numbers of the two files of each link.
    a = all_links.pop("a").to_numpy(int)
    b = all_links.pop("b").to_numpy(int)
    files = image_table["file"].to_numpy()
    all_links.insert(0, "file_a", files[a])
    all_links.insert(1, "file_b", files[b])
    all_links["same_group"] = labels[a] == labels[b]
    groups = pd.DataFrame(
        {
            "file": image_table["file"],
            "image_id": image_table["image_id"],
            "pixel_id": pixel_id,
            "group_id": "g" + first_image.str[:16],
            "link_types": _link_types(labels, labels[a], all_links),
        }
    )
    return groups, all_links


def link_values(table: pd.DataFrame, column: str) -> pd.Series:
    """Return the values of a link column: files with equal values are linked, None links nothing.

    Missing values are None (``data.missing_values``). In ``lesion_id`` and ``patient_id`` these
    include 0 and -1. A ``lesion_id`` that several patients have is a number within the patient.
    It then counts together with ``patient_id``, and links no file without a patient.

    Args:
        table: One row per file; this column, and ``patient_id`` if known.
        column: One of ``LINK_COLUMNS``.
    """
    if column == "image_id":
        return table[column]
    values = identifiers(table[column])
    if column == "filename_key":
        return values
    values = values.mask(is_missing_number(values), None)
    if column == "lesion_id" and "patient_id" in table:
        patient = link_values(table, "patient_id")
        has_several_patients = patient.groupby(values).transform("nunique").gt(1)
        of_patient = (patient + " / " + values).astype(object)
        values = values.mask(has_several_patients, of_patient.where(of_patient.notna(), None))
    return values


def add_groups(image_table: pd.DataFrame, image_groups: pd.DataFrame) -> pd.DataFrame:
    """Add the columns group_id and pixel_id to a table, without changing the order of its rows.

    Args:
        image_table: One row per file; column file.
        image_groups: Result of ``group_images`` for at least these files.

    Raises:
        InputError: Some of the files are missing, or an earlier version without pixel_id wrote
            the groups.
    """
    fix = "Fix: kedro run --pipelines audit,preprocess (same --env and --params)"
    if "pixel_id" not in image_groups:
        raise InputError(
            "image_groups has no column pixel_id. An earlier version of this software wrote it, "
            f"which did not detect images with equal pixels. {fix}"
        )
    groups = image_groups.set_index("file").reindex(image_table["file"])
    missing = groups.index[groups["group_id"].isna()]
    if len(missing):
        raise InputError(
            f"image_groups lacks {len(missing)} files of image_table, e.g. {missing[0]}. "
            f"Expected both tables from the same run. {fix}"
        )
    return image_table.assign(
        group_id=groups["group_id"].to_numpy(), pixel_id=groups["pixel_id"].to_numpy()
    )


def attach_file_columns(image_links: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns of a table to each link, as ``<column>_a`` and ``<column>_b``.

    Args:
        image_links: Result of ``group_images``.
        table: One row per file; column file and any others.
    """
    by_file = table.set_index("file")
    ends = [
        by_file.loc[image_links[f"file_{end}"]].reset_index(drop=True).add_suffix(f"_{end}")
        for end in "ab"
    ]
    return pd.concat([image_links.reset_index(drop=True), *ends], axis=1)


def across_splits(pairs: pd.DataFrame) -> pd.Series:
    """Return a mask of the pairs whose two files are in different original splits.

    Args:
        pairs: Result of ``attach_file_columns``.
    """
    split_a, split_b = pairs["original_split_a"], pairs["original_split_b"]
    return split_a.notna() & split_b.notna() & split_a.ne(split_b)


def _pixel_ids(image_id: pd.Series, near_duplicates: pd.DataFrame) -> pd.Series:
    """Return for each file the alphabetically first image_id with the same pixels."""
    image, distinct = pd.factorize(image_id)
    equal = merge_pairs(len(distinct), near_duplicates[near_duplicates["kind"] == "pixels"])
    return image_id.groupby(equal[image]).transform("min")


def _links_by_value(codes: npt.NDArray[np.integer], column: str) -> pd.DataFrame:
    """Link each file to the first file with the same value; a and b are row numbers."""
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
    image_id: pd.Series, labels: npt.NDArray[np.integer], near_duplicates: pd.DataFrame
) -> npt.NDArray[np.integer]:
    """Merge groups of files whose images are near-duplicates; return group numbers, (files,)."""
    image, distinct = pd.factorize(image_id)
    initial_groups = np.zeros(len(distinct), int)  # (images,)
    initial_groups[image] = labels  # all files of one image are already in one group
    return np.asarray(merge_pairs(len(distinct), near_duplicates, initial_groups)[image])


def _components(keys: list[npt.NDArray[np.integer]], n: int) -> npt.NDArray[np.integer]:
    """Number the connected components of n rows, linked if the values of any key are equal.

    Args:
        keys: For each key, the codes of its values, (n,); -1 is missing.
        n: Number of rows.
    """
    # Bipartite graph: nodes 0 to n - 1 are the rows, the other nodes are the values of the keys.
    rows, targets = [], []
    n_nodes = n
    for codes in keys:
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        targets.append(codes[known] + n_nodes)  # equal codes of different keys are separate nodes
        n_nodes += int(codes.max(initial=-1)) + 1
    edges = (np.concatenate(rows), np.concatenate(targets))
    weights = np.ones(len(edges[0]), np.int8)
    graph = coo_array((weights, edges), shape=(n_nodes, n_nodes))
    return connected_components(graph, directed=False)[1][:n]


def _link_types(
    labels: npt.NDArray[np.integer], link_labels: npt.NDArray[np.integer], links: pd.DataFrame
) -> list[str]:
    """List, for each file, the link types within its group.

    Args:
        labels: (files,), group number of each file.
        link_labels: (links,), group number of the first file of each link.
        links: Columns kind and same_group.
    """
    is_internal = links["same_group"]
    kinds = links.loc[is_internal, "kind"].groupby(link_labels[is_internal]).unique()
    order = [*LINK_COLUMNS, *NEAR_DUPLICATE_KINDS.values()]
    of_group = {label: "+".join(sorted(found, key=order.index)) for label, found in kinds.items()}
    return [of_group.get(label, "") for label in labels]
