#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# In the lab: where the time goes while fio runs against one LUN of user:thin over iSCSI on loopback,
# everything cached. Prints perf's shares of processor time, by program and by function.
#
#   tools/lab/lab run tests/bench/guest/profile.sh RW BLOCK_SIZE DEPTH [SECONDS]
#
# RW, BLOCK_SIZE and DEPTH are fio's: randread 4k 1. Needs Debian's linux-perf.
# shellcheck source-path=SCRIPTDIR/../../..
. "$LAB_REPO/tools/lab/guest/lib.sh"
rw=$1 block_size=$2 depth=$3 seconds=${4:-15}
readonly iqn=iqn.2026-01.lab.thinmirror:profile volume=/srv/profile/thin

fail() {
  echo "profile.sh: $*" >&2
  exit 1
}

command -v perf >/dev/null || fail "there is no perf; apt-get install linux-perf"
read -r -a scratch <<<"$LAB_DISKS"
if ! { mkfs.ext4 -q "${scratch[0]}" && mkdir -p /srv/profile && mount "${scratch[0]}" /srv/profile; }; then
  fail "no file system"
fi
thinvol create "$volume" 512M || fail "no volume"
head -c 512M /dev/urandom | dd of="$volume" bs=1M conv=notrunc,fsync iflag=fullblock status=none
start_stack
thin_create thin "$volume" || fail "no backstore"
target_create "$iqn" thin || fail "no target"
disk=$(iscsi_login "$iqn") || fail "no disk"

perf record -q -a -e cpu-clock -o /tmp/perf.data -- fio --name=profile --filename="$disk" --rw="$rw" \
  --bs="$block_size" --iodepth="$depth" --direct=1 --ioengine=libaio --time_based \
  --runtime="$seconds" | grep -E 'IOPS=|error' || fail "no profile"
# Shares of the time that was not idle. Which of its threads the kernel takes for work is chance.
shares() { # LEAST THREADS SORT...
  perf report -q -i /tmp/perf.data --stdio --percent-limit 0 --sort "comm${3:+,$3}" 2>/dev/null |
    awk -v least="$1" -v threads="$2" '
      NF < 2 || $2 == "swapper" { next }
      {
        share = $1 + 0; thread = $2; sub("/.*|-.*", "", thread); busy += share
        where = thread; for (i = 3; i <= NF; i++) if ($i != "-") where = where " " $i
        sub(/ kworker.*/, "", where)
        if (where ~ threads) sum[where] += share
      }
      END { for (where in sum) if (sum[where] / busy * 100 >= least) printf "%5.1f%%  %s\n", sum[where] / busy * 100, where }' |
    sort -rn
}

echo "--- by thread"
shares 1 .
echo "--- in tcmu-runner, by function"
shares 0.3 '^cmdproc' symbol

iscsiadm -m node --logout >/dev/null 2>&1
targets_remove
wait_for 20 not compgen -G "$target/core/*_*/*/enable"
stop_stack
umount /srv/profile
