"""``python -m raphson script.py``: run a script with ours in place of the originals."""

from raphson._run import main

if __name__ == "__main__":
    main()
