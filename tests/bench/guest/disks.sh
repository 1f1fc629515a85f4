#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# In the lab: LUNs over files of one file system, each on an iSCSI target of its own on loopback, or
# as a disk of tcm_loop: our handler, two bare ones that only read and write, tcmu-runner's qcow
# handler on a raw file, LIO's fileio. fio runs against their disks in turn. Prints lines
# `bench TRANSPORT STORAGE WORKLOAD BACKEND VALUE`.
#
#   disks.sh ROUNDS SECONDS SIZE TRANSPORTS STORAGES
#
# TRANSPORTS: iscsi, loop, or both with a comma. STORAGES: cached (all files in the page cache),
# slow (nothing in it, and 5 ms more for every read and write of the disk below), or both.
# shellcheck source-path=SCRIPTDIR/../../..
. "$LAB_REPO/tools/lab/guest/lib.sh"
rounds=$1 size=$3
milliseconds=$(awk -v seconds="$2" 'BEGIN { printf "%d", seconds * 1000 }')
IFS=, read -r -a transports <<<"$4"
IFS=, read -r -a storages <<<"$5"

readonly backends=(thin inline worker qcow fileio)
readonly files=/srv/bench handlers=/usr/lib/x86_64-linux-gnu/tcmu-runner
# NAME:RW:BLOCK_SIZE:DEPTH
readonly workloads=(randread1:randread:4k:1 randread16:randread:4k:16 randwrite1:randwrite:4k:1
  randwrite16:randwrite:4k:16 read:read:1M:4 write:write:1M:4)
declare -A disk

fail() {
  echo "disks.sh: $*" >&2
  exit 1
}

# Every block is written beforehand: what is measured is not allocation.
make_files() { # DEVICE
  local backend bytes
  if ! { mkfs.ext4 -q "$1" && mkdir -p "$files" && mount "$1" "$files"; }; then
    fail "no file system on $1"
  fi
  thinvol create "$files/thin" "$size" || fail "no volume"
  bytes=$(stat -c %s "$files/thin")
  for backend in "${backends[@]}"; do
    head -c "$bytes" /dev/urandom |
      dd of="$files/$backend" bs=1M conv=notrunc,fsync iflag=fullblock status=none
  done
}

# The kernel's own backstore with its page cache in use, like the others.
fileio_create() { # NAME PATH
  local place=$target/core/fileio_0/$1
  mkdir -p "$target/core/fileio_0" && mkdir "$place" &&
    echo -n "fd_dev_name=$2,fd_dev_size=$(stat -c %s "$2"),fd_buffered_io=1" >"$place/control" &&
    echo 1 >"$place/enable"
}

make_backstores() {
  local handler
  modprobe target_core_file || fail "no fileio"
  thin_create thin "$files/thin" || fail "no thin backstore"
  for handler in inline worker qcow; do
    backstore_create "$handler" "$handler/$files/$handler" "$(stat -c %s "$files/$handler")" ||
      fail "no $handler backstore"
  done
  fileio_create fileio "$files/fileio" || fail "no fileio backstore"
}

make_disks() { # TRANSPORT
  local backend iqn number=0
  for backend in "${backends[@]}"; do
    number=$((number + 1))
    if [[ $1 == iscsi ]]; then
      iqn=iqn.2026-01.lab.thinmirror:$backend
      target_create "$iqn" "$backend" || fail "no target for $backend"
      disk[$backend]=$(iscsi_login "$iqn") || fail "no disk for $backend"
    else
      disk[$backend]=$(loop_create "500140500000000$number" "$backend") || fail "no disk for $backend"
    fi
  done
}

remove_disks() {
  iscsiadm -m node --logout >/dev/null 2>&1
  targets_remove
  wait_for 20 not compgen -G "$target/core/*_*/*/enable"
}

# A device over DEVICE that takes 5 ms longer for everything.
slow_device() { # DEVICE
  modprobe dm-delay && dmsetup create slow --table "0 $(blockdev --getsz "$1") delay $1 0 5" &&
    dmsetup mknodes slow && wait_for 10 test -b /dev/mapper/slow && echo /dev/mapper/slow
}

# One fio for the backends given, in turn, each begun with nothing left to write back; prints a line
# `BACKEND VALUE` for each: IOPS of small, MiB/s of large requests. The first job shares the
# processor with what the last fio left behind, so it is run once for nothing.
measure() { # RW BLOCK_SIZE DEPTH BACKEND...
  local rw=$1 bytes=$2 depth=$3 job backend job_options=() direction='read'
  shift 3
  case $rw in
    *write) direction='write' ;;
  esac
  for job in settle "$@"; do
    backend=${job/settle/$1}
    job_options+=(--name="$job" --stonewall --filename="${disk[$backend]}" --rw="$rw" --bs="$bytes"
      --iodepth="$depth" --direct=1 --ioengine=libaio --time_based --runtime="${milliseconds}ms"
      --ramp_time="$((milliseconds < 1000 ? milliseconds / 2 : 1000))ms"
      --randrepeat=0 --exec_prerun=sync)
  done
  fio --output-format=json "${job_options[@]}" | sed -n '/^{/,$p' |
    jq -r --arg direction "$direction" --arg bytes "$bytes" '.jobs[] | .jobname as $name
      | if .error != 0 then error("fio: error \(.error)") else .[$direction] end
      | select($name != "settle")
      | if $bytes == "4k" then .iops else .bw_bytes / 1048576 end | "\($name) \(.)"'
}

# Every round begins with another backend, so that none has the better place.
measure_all() { # TRANSPORT STORAGE
  local round workload first how lines line
  for ((round = 0; round < rounds; round++)); do
    first=$((round % ${#backends[@]}))
    for workload in "${workloads[@]}"; do
      if [[ $2 == slow ]]; then
        sync
        echo 3 >/proc/sys/vm/drop_caches
      fi
      IFS=: read -r -a how <<<"$workload"
      mapfile -t lines < <(measure "${how[@]:1}" "${backends[@]:first}" "${backends[@]:0:first}")
      if ((${#lines[@]} != ${#backends[@]})); then # all or none, so that rounds stay comparable
        echo "disks.sh: $1, $2: round $round of ${how[0]} failed" >&2
        continue
      fi
      for line in "${lines[@]}"; do
        echo "bench $1 $2 ${how[0]} $line"
      done
    done
  done
}

ln -sf "$LAB_BUILD"/tests/bare/handler_bare_*.so "$handlers/" || fail "no bare handlers"
echo "accel ${LAB_ACCEL:-unknown}"
start_stack
read -r -a scratch <<<"$LAB_DISKS"
for storage in "${storages[@]}"; do
  if [[ $storage == slow ]]; then
    make_files "$(slow_device "${scratch[1]}")"
  else
    make_files "${scratch[0]}"
  fi
  for transport in "${transports[@]}"; do
    make_backstores
    make_disks "$transport"
    measure_all "$transport" "$storage"
    remove_disks
  done
  umount "$files"
done
stop_stack
