#!/bin/sh
# work.sh OUT SECONDS_ON_GPU SECONDS_ON_CPU [GPUS]
#
# Stands in for a program that uses CUDA where it is given a GPU, and cores where it is not. It looks at
# what such a program looks at: CUDA_VISIBLE_DEVICES, which is empty for a task without a GPU.
set -eu

if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then
    echo "$DUNNAGE_FUNCTION: on $CUDA_VISIBLE_DEVICES"
    sleep "$2"
else
    echo "$DUNNAGE_FUNCTION: no GPU, $OMP_NUM_THREADS threads"
    sleep "$3"
fi
printf '{"function": "%s", "gpus": "%s", "count": %s}\n' \
    "$DUNNAGE_FUNCTION" "${CUDA_VISIBLE_DEVICES:-}" "${4:-0}" > "$1"
