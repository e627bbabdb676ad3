"""``python -m cli``: the same as the command ``templemeads``."""

from cli.main import main

main(prog_name="templemeads")
