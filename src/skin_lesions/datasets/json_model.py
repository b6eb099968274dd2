"""Kedro data set of typed results, as JSON files."""

from pathlib import Path

from kedro.io import AbstractDataset
from kedro.utils import load_obj
from pydantic import BaseModel, ValidationError

from skin_lesions.core.errors import InputError
from skin_lesions.datasets.previews import JSONPreview


class JSONModelDataset(AbstractDataset[BaseModel, BaseModel]):
    """Saves a pydantic model as JSON, and checks the content on loading.

    Args:
        filepath: The JSON file.
        model: Import path of the pydantic model. Its ``model_json_schema()`` documents the file.
        metadata: For kedro-viz.
    """

    def __init__(self, *, filepath: str, model: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata
        self._model: type[BaseModel] = load_obj(model)

    def load(self) -> BaseModel:
        """Load and check the content.

        Raises:
            InputError: The content does not match the model.
        """
        try:
            return self._model.model_validate_json(self._path.read_bytes())
        except ValidationError as error:
            problem = error.errors()[0]
            raise InputError(
                f"{self._path} does not have the content that this version of skin-lesions writes "
                f"({'.'.join(map(str, problem['loc']))}: {problem['msg']}). Fix: create it again "
                "with the pipeline that writes it, for example kedro run (same --env and --params)"
            ) from None

    def save(self, data: BaseModel) -> None:
        """Save the model, with keys in the order of its fields."""
        self._path.write_text(data.model_dump_json(indent=2), encoding="utf-8")

    def preview(self) -> JSONPreview:
        """Show the content in kedro-viz."""
        return JSONPreview(self._path.read_text(encoding="utf-8"))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path), "model": self._model.__name__}
