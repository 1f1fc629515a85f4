#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# In the lab: three LUNs over files of one file system, each on an iSCSI target of its own on
# loopback: our handler, tcmu-runner's qcow handler on a raw file, LIO's fileio. fio runs against
# their disks in turn. Prints lines `bench WORKLOAD BACKEND VALUE`.
#
#   disks.sh ROUNDS SECONDS SIZE
# shellcheck source-path=SCRIPTDIR/../../..
. "$LAB_REPO/tools/lab/guest/lib.sh"
rounds=$1 seconds=$2 size=$3

readonly backends=(thin qcow fileio)
readonly files=/srv/bench
declare -A disk

fail() {
  echo "disks.sh: $*" >&2
  exit 1
}

# Every block is written beforehand: what is measured is not allocation.
make_files() {
  local backend bytes
  if ! { mkfs.ext4 -q "${LAB_DISKS%% *}" && mkdir -p "$files" && mount "${LAB_DISKS%% *}" "$files"; }; then
    fail "no file system on ${LAB_DISKS%% *}"
  fi
  thinvol create "$files/thin" "$size" || fail "no volume"
  bytes=$(stat -c %s "$files/thin")
  for backend in "${backends[@]}"; do
    head -c "$bytes" /dev/urandom |
      dd of="$files/$backend" bs=1M conv=notrunc,fsync iflag=fullblock status=none
  done
}

# The kernel's own backstore with its page cache in use, like the other two.
fileio_create() { # NAME PATH
  local place=$target/core/fileio_0/$1
  mkdir -p "$target/core/fileio_0" && mkdir "$place" &&
    echo -n "fd_dev_name=$2,fd_dev_size=$(stat -c %s "$2"),fd_buffered_io=1" >"$place/control" &&
    echo 1 >"$place/enable"
}

make_disks() {
  local backend iqn
  modprobe target_core_file || fail "no fileio"
  thin_create thin "$files/thin" || fail "no thin backstore"
  backstore_create qcow "qcow/$files/qcow" "$(stat -c %s "$files/qcow")" || fail "no qcow backstore"
  fileio_create fileio "$files/fileio" || fail "no fileio backstore"
  for backend in "${backends[@]}"; do
    iqn=iqn.2026-01.lab.thinmirror:$backend
    target_create "$iqn" "$backend" || fail "no target for $backend"
    disk[$backend]=$(iscsi_login "$iqn") || fail "no disk for $backend"
  done
}

# Prints IOPS of small, MiB/s of large requests.
measure() { # DISK WORKLOAD
  local bytes=1M depth=4 direction='read'
  case $2 in
    rand*) bytes=4k depth=16 ;;
  esac
  case $2 in
    *write) direction='write' ;;
  esac
  fio --name=bench --filename="$1" --rw="$2" --bs="$bytes" --iodepth="$depth" --direct=1 \
    --ioengine=libaio --time_based --runtime="$seconds" --ramp_time=1 --randrepeat=0 \
    --output-format=json |
    jq -r --arg direction "$direction" --arg bytes "$bytes" '.jobs[0]
      | if .error != 0 then error("fio: error \(.error)") else .[$direction] end
      | if $bytes == "4k" then .iops else .bw_bytes / 1048576 end'
}

make_files
start_stack
make_disks
echo "accel ${LAB_ACCEL:-unknown}"
for ((round = 0; round < rounds; round++)); do
  for workload in randread randwrite read write; do
    for backend in "${backends[@]}"; do
      value=$(measure "${disk[$backend]}" "$workload") || fail "$workload on $backend failed"
      echo "bench $workload $backend $value"
    done
  done
done
stop_stack
