"""Hooks that are tested without a run."""

from types import SimpleNamespace

from skin_lesions.hooks import CheckpointCleanup
from skin_lesions.training.checkpoints import Checkpoints
from support.models import model_provenance, trained_model


def test_checkpoint_is_deleted_when_its_model_is_saved_and_not_earlier(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoint = checkpoints.for_training({"seed": 1})
    checkpoint.save({"step": 1})
    hook = CheckpointCleanup()
    hook.after_catalog_created(SimpleNamespace(load={"checkpoints": checkpoints}.get))
    provenance = model_provenance(training=checkpoint.name)
    model = trained_model(provenance=provenance, state_dict={})
    hook.after_dataset_saved(model.state_dict)
    assert checkpoint.folder.exists()
    hook.after_dataset_saved(model)
    assert not checkpoint.folder.exists()
