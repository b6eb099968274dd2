"""Registry of the audit checks; docs/contributing/add-an-audit-check.md shows how to add one."""

from collections.abc import Callable

from skin_lesions.audit.class_count_divisor import class_counts_share_divisor
from skin_lesions.audit.class_counts import (
    class_counts_balanced,
    classes_missing_from_splits,
    classes_missing_from_test,
    classes_without_images,
    small_classes,
)
from skin_lesions.audit.class_names import several_names_of_one_class, unusual_class_names
from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.audit.identifiers import (
    identifiers_of_several_patients,
    large_groups,
    placeholder_identifiers,
)
from skin_lesions.audit.image_quality import low_quality_images
from skin_lesions.audit.label_conflicts import (
    exact_duplicate_label_conflicts,
    groups_with_multiple_labels,
    near_duplicate_label_conflicts,
    pixel_identical_label_conflicts,
)
from skin_lesions.audit.leakage import (
    exact_duplicates,
    exact_duplicates_across_splits,
    groups_across_splits,
    leakage_by_class,
    leakage_by_link_type,
    near_duplicates,
)
from skin_lesions.audit.shortcuts.findings import shortcuts
from skin_lesions.audit.unreadable_files import unreadable_files

# A check returns its findings, or an empty list.
Check = Callable[[AuditContext], list[Finding]]

# Findings of one severity are reported in this order.
CHECKS: tuple[Check, ...] = (
    several_names_of_one_class,
    classes_without_images,
    exact_duplicates_across_splits,
    groups_across_splits,
    leakage_by_class,
    leakage_by_link_type,
    exact_duplicate_label_conflicts,
    pixel_identical_label_conflicts,
    near_duplicate_label_conflicts,
    groups_with_multiple_labels,
    exact_duplicates,
    near_duplicates,
    unreadable_files,
    unusual_class_names,
    large_groups,
    identifiers_of_several_patients,
    placeholder_identifiers,
    classes_missing_from_splits,
    classes_missing_from_test,
    class_counts_share_divisor,
    class_counts_balanced,
    small_classes,
    shortcuts,
    low_quality_images,
)
# Checks of splits and of training; they do not apply to images that are only evaluated.
_TRAINING_CHECKS: frozenset[Check] = frozenset(
    {
        classes_without_images,
        exact_duplicates_across_splits,
        groups_across_splits,
        leakage_by_class,
        leakage_by_link_type,
        classes_missing_from_splits,
        classes_missing_from_test,
        class_counts_share_divisor,
        class_counts_balanced,
        small_classes,
        shortcuts,
    }
)
EVALUATION_CHECKS = tuple(check for check in CHECKS if check not in _TRAINING_CHECKS)
