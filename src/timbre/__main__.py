"""Run the command line as `python -m timbre`."""

from timbre.cli.main import run

if __name__ == "__main__":
    run()
