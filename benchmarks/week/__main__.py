"""`python -m benchmarks.week`: play the week, print what it shows, and write it into docs/growth.md with its pictures. `--measure`
measures what everything costs on this machine first; `--check` holds the predictions against a real system here.
"""

import argparse

from benchmarks.stand import stand
from benchmarks.week.checking import check, write_checked
from benchmarks.week.measuring import measure_costs, write_measured
from benchmarks.week.showing import show_week
from benchmarks.week.world import costs_of, read_measured


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.week", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the costs anew, four minutes")
    parser.add_argument("--check", action="store_true", help="compare with a real system, two minutes")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.measure or options.check:
        with stand() as place:
            if options.measure:
                write_measured(measure_costs(place))
            if options.check:
                write_checked(check(place, read_measured()))
    show_week(costs_of(read_measured()), seed=options.seed)


if __name__ == "__main__":
    main()
