"""Swap the folder ``d`` and a link beside it, in the folder named on the command line, until told to stop."""

from __future__ import annotations

import os
import sys
import threading


def main() -> None:
    os.chdir(sys.argv[1])
    os.symlink("../outside", "link")
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    begun = False
    while not stop.is_set():
        os.rename("d", "kept")
        os.rename("link", "d")
        if not begun:
            print("swapping", flush=True)
            begun = True
        os.rename("d", "link")
        os.rename("kept", "d")


if __name__ == "__main__":
    main()
