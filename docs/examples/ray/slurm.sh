#!/bin/bash
# A grid on several Slurm nodes: Ray on all of them, `bench run` on the first.
#     sbatch slurm.sh -m audiosep-clap -d audiocaps
#SBATCH --job-name=sepbench
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
set -euo pipefail

# Where all nodes see the same files.
: "${SEPBENCH_ENVIRONMENT:?the virtual environment that holds sepbench[ray]}"
: "${SEPBENCH_WORKSPACE:?the folder of the results}"
source "$SEPBENCH_ENVIRONMENT/bin/activate"
export RAY_USAGE_STATS_ENABLED=0

# This script runs on the first node; name the interface where a node has several.
read -r head _ < <(hostname --ip-address)
port=$((20000 + SLURM_JOB_ID % 10000)) # two jobs that share a node do not meet
# Ray 2.60 and later: nobody else joins. The token lies in the home folder, which nodes share.
export RAY_AUTH_MODE=token
ray get-auth-token --generate >/dev/null 2>&1 || true
export RAY_ADDRESS="$head:$port" SEPBENCH_RAY_PORT="$port"

# One task a node; the first one is the head, the others wait for it.
srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 bash -c '
        share="--num-cpus=$SLURM_CPUS_PER_TASK --num-gpus=${SLURM_GPUS_ON_NODE:-0}"
        if ((SLURM_PROCID == 0)); then
            address=$RAY_ADDRESS
            unset RAY_ADDRESS
            exec ray start --head --node-ip-address="${address%:*}" --port="$SEPBENCH_RAY_PORT" \
                --include-dashboard=false --disable-usage-stats --block $share
        fi
        until (: >"/dev/tcp/${RAY_ADDRESS/:/\/}") 2>/dev/null; do sleep 1; done
        exec ray start --address="$RAY_ADDRESS" --block $share' >&2 &
nodes=$!
trap 'kill "$nodes" 2>/dev/null || true' EXIT

# The engine counts places when it begins, so all nodes should be there.
until (: >"/dev/tcp/$head/$port") 2>/dev/null; do sleep 1; done
timeout 600 python - <<'WAIT'
import os
import time

import ray

ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False)
while sum(node["Alive"] for node in ray.nodes()) < int(os.environ["SLURM_JOB_NUM_NODES"]):
    time.sleep(1)
WAIT

# Five minutes before the end Slurm sends SIGTERM to this script: the run finishes what is in
# flight, and the job goes into the queue again, where the same command does what is left.
stopped=
bench run "$@" --workspace "$SEPBENCH_WORKSPACE" engine=ray engine.ray.address="'$RAY_ADDRESS'" &
run=$!
trap 'stopped=yes; kill -TERM "$run"' TERM
code=0
wait "$run" || code=$?
if [ -n "$stopped" ]; then
    wait "$run" || code=$?
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
