"""Program `python -m tests.chaos.fault_point serve …`: `duly`, which kills itself at the point in `FAULT_POINT`."""

from tests.support import fault_points

if __name__ == "__main__":
    fault_points.install()
    from duly.__main__ import main

    main()
