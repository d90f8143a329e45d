"""Networks as estimators of scikit-learn: GraphClassifier, GraphRegressor and GraphSearchCV."""

from graphdl.errors import MissingPackageError, import_optional

if not hasattr(import_optional("sklearn.utils.validation", "graphdl.sklearn", "scikit-learn", "sklearn"), "validate_data"):
    raise MissingPackageError(
        "graphdl.sklearn needs scikit-learn 1.6 or newer, and an older version is installed: "
        "pip install 'graphdl[sklearn]'."
    )

from graphdl.sklearn.classifier import GraphClassifier
from graphdl.sklearn.regressor import GraphRegressor
from graphdl.sklearn.search import GraphSearchCV

__all__ = ["GraphClassifier", "GraphRegressor", "GraphSearchCV"]
