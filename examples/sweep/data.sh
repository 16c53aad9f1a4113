#!/bin/sh
# data.sh OUT: writes 200 points (x, y) near the line y = 3 x - 2.
#
# At its first attempt it fails, to show a retry. Where it is told nothing of attempts it just works.
set -eu

if [ "${DUNNAGE_ATTEMPT:-2}" = 1 ]; then
    echo "data.sh: the server did not answer (it never does at the first attempt)" >&2
    exit 75
fi

# A generator of our own (Park and Miller 1988), because awks differ in theirs.
exec awk '
function random() { state = (state * 16807) % 2147483647; return state / 2147483647 }
BEGIN {
    state = 442
    for (i = 0; i < 200; i++) {
        x = 4 * random() - 2
        y = 3 * x - 2 + (random() + random() + random() - 1.5)
        printf "%.6f %.6f\n", x, y
    }
}' > "$1"
