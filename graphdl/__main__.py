"""The command line: python -m graphdl, or graphdl."""

import sys


def main() -> None:
    """Run the command line, if the packages that it needs are installed."""
    try:
        from graphdl import cli
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("The command line needs typer: pip install 'graphdl[cli]'.")
    cli.main()


if __name__ == "__main__":
    main()
