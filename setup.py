"""The packages, with examples/ as graphdl/examples, where `graphdl run` finds it. All else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["graphdl*"]), "graphdl.examples"],
    package_dir={"graphdl.examples": "examples"},
    package_data={"graphdl": ["py.typed", "cpp/*.h"], "graphdl.examples": ["*.toml", "*.txt"]},
)
