"""Which images belong together: everything that shows one lesion, or one patient, is one group."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skin_lesions.copies.joining import join_copies

# What makes two files belong together, when both have the same value there.
EVIDENCE = ("image_id", "lesion_id", "patient_id", "name_key")
# What the pixels of two images may say: see ``copies.find_copies``.
COPIES = {"pixels": "same pixels", "simple": "simple copy", "changed": "changed copy"}


def group_images(
    image_table: pd.DataFrame, copies: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join files that share bytes, lesion, patient or the key in their name, or are copies.

    What the table says joins always. What the pixels say joins by the rules of ``join_copies``, so
    that one wrong pair can't chain thousands of images.

    Args:
        image_table: One row per file; column ``image_id`` and any others of ``EVIDENCE``.
        copies: Pairs of images by their pixels, as ``copies.find_copies`` gives them; ``a`` and
            ``b`` number the distinct image_ids in the order of their first file.

    Returns:
        image_groups: One row per file, in the same order: file, image_id, group_id and evidence (what
        joins the group, as ``image_id+lesion_id``; empty for a file alone). A group_id is made
        from the images in the group, so equal data give equal ids.

        image_links: One row per link: file_a, file_b, kind (a column of ``EVIDENCE``, or a value of
        ``COPIES``), strength (0 to 1; 1 is certain), and whether both are in one group. Files that
        share a value are each linked with the first that has it.
    """
    columns = [column for column in EVIDENCE if column in image_table]
    labels = _components([_codes(image_table[column]) for column in columns], len(image_table))
    links = [_links_by_value(image_table, column) for column in columns]
    if copies is not None:
        labels = _with_copies(image_table["image_id"], labels, copies)
        links.append(_links_by_pixels(image_table, copies))
    first_image = image_table["image_id"].groupby(labels).transform("min")
    together = pd.concat(links, ignore_index=True)
    a, b = together.pop("a").to_numpy(int), together.pop("b").to_numpy(int)
    files = image_table["file"].to_numpy()
    together.insert(0, "file_a", files[a])
    together.insert(1, "file_b", files[b])
    together["joined"] = labels[a] == labels[b]
    groups = pd.DataFrame(
        {
            "file": image_table["file"],
            "image_id": image_table["image_id"],
            "group_id": "g" + first_image.str[:16],
            "evidence": _evidence(labels, labels[a], together),
        }
    )
    return groups, together


def _links_by_value(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Link each file with the first that has the same value: a and b are row numbers."""
    codes = _codes(table[column])
    rows = pd.Series(np.flatnonzero(codes >= 0))
    first = rows.groupby(codes[rows]).transform("min").astype(int)
    linked = rows[first < rows]
    return pd.DataFrame({"a": first[linked.index], "b": linked, "kind": column, "strength": 1.0})


def _links_by_pixels(table: pd.DataFrame, copies: pd.DataFrame) -> pd.DataFrame:
    first_file = np.flatnonzero(~table["image_id"].duplicated())
    return pd.DataFrame(
        {
            "a": first_file[copies["a"]],
            "b": first_file[copies["b"]],
            "kind": copies["kind"].map(COPIES),
            "strength": copies["strength"],
        }
    )


def _with_copies(
    image_id: pd.Series, labels: npt.NDArray[np.int_], copies: pd.DataFrame
) -> npt.NDArray[np.int_]:
    """Merge groups of files whose images are copies of one another."""
    image, distinct = pd.factorize(image_id)
    known = np.zeros(len(distinct), int)
    known[image] = labels  # files of one image are in one group already
    return np.asarray(join_copies(len(distinct), copies, known)[image])


def _codes(column: pd.Series) -> np.ndarray:
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


def _evidence(
    labels: npt.NDArray[np.int_], linked: npt.NDArray[np.int_], links: pd.DataFrame
) -> list[str]:
    """Name, for each row, the kinds of links inside its group."""
    joined = links["joined"]
    kinds = links.loc[joined, "kind"].groupby(linked[joined]).unique()
    order = [*EVIDENCE, *COPIES.values()]
    of_group = {label: "+".join(sorted(found, key=order.index)) for label, found in kinds.items()}
    return [of_group.get(label, "") for label in labels]
