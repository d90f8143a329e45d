"""Networks as estimators of scikit-learn: GraphClassifier, GraphRegressor and GraphSearchCV."""

from graphdl.errors import MissingPackageError

try:
    from graphdl.sklearn.classifier import GraphClassifier
    from graphdl.sklearn.regressor import GraphRegressor
    from graphdl.sklearn.search import GraphSearchCV
except ImportError as error:
    raise MissingPackageError(
        f"graphdl.sklearn needs scikit-learn 1.6 or newer, which cannot be imported ({error}): "
        "pip install 'graphdl[sklearn]'."
    ) from error

__all__ = ["GraphClassifier", "GraphRegressor", "GraphSearchCV"]
