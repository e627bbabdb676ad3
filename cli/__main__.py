"""``python -m templemeads.cli``: the command ``templemeads``."""

from .main import main

if __name__ == "__main__":
    main(prog_name="templemeads")
