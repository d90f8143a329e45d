"""The command line: python -m graphdl, or graphdl."""

import sys


def main() -> None:
    """Run the command line, if the packages that it needs are installed."""
    try:
        from graphdl import cli
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "safetensors"):
            raise
        sys.exit(f"The command line needs {error.name}: pip install 'graphdl[cli]'.")
    cli.main()


if __name__ == "__main__":
    main()
