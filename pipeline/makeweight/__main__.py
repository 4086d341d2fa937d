"""`python -m makeweight`."""

from makeweight.commands.__main__ import makeweight

if __name__ == "__main__":
    makeweight()
