#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: every kind of endpoint copied to every kind: a raw file, a volume in this process, a LUN
# of the kernel's target over libiscsi, a SCSI disk by /dev/sdX and by /dev/sgN. Each secondary holds
# other data before.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly base=iqn.2026-01.lab.thinmirror folder=/mnt/tmpfs
readonly kinds=(file thin iscsi disk generic)
declare -A primary secondary

two_disks() {
  mapfile -t disks < <(grep -lw scsi_debug /sys/block/sd*/device/model | cut -d / -f 4)
  ((${#disks[@]} == 2)) && [[ -b /dev/${disks[0]} && -b /dev/${disks[1]} ]]
}
make_side() { # SIDE DISK
  local -n side=$1
  truncate -s 16M "$folder/$1.img" && thinvol create "$folder/$1.vol" 16M >/dev/null &&
    thin_create "$1" "$folder/$1.lun" 16M 512 hw_max_sectors=2048 >/dev/null &&
    target_create "$base:$1" "$1" || return 1
  # shellcheck disable=SC2034 # side is the array that was named
  side=([file]=$folder/$1.img [thin]=thin:$folder/$1.vol [iscsi]=iscsi://127.0.0.1/$base:$1/0
    [disk]=/dev/$2 [generic]=/dev/$(ls "/sys/block/$2/device/scsi_generic"))
}
scatter() { # FILE FIRST-MIB...: a MiB of data at each
  local file=$1 at
  shift
  truncate -s 16M "$file"
  for at in "$@"; do
    dd if=/dev/urandom of="$file" bs=1M count=1 seek="$at" conv=notrunc status=none || return 1
  done
}
copy() { # FROM TO
  thinmirror sync --overwrite --progress=none "$1" "$2"
}
exact() { # TRUTH NAME: also what a primary's map says nothing of
  thinmirror verify --source-map=full --progress=none "$1" "$2"
}

mkdir -p "$folder"
mount -t tmpfs -o size=1g tmpfs "$folder"
start_stack
modprobe scsi_debug dev_size_mb=16 add_host=2 per_host_store=1 delay=0 lbpu=1 lbpws=1 lbprz=1
wait_for 20 two_disks || bail_out "no disks"
check "data" scatter "$folder/truth" 0 3 4 9 15
check "other data" scatter "$folder/garbage" 1 3 7 15
make_side primary "${disks[0]}" || bail_out "no primaries"
make_side secondary "${disks[1]}" || bail_out "no secondaries"
for from in "${kinds[@]}"; do
  section "from $from"
  check "$from holds the data" copy "$folder/truth" "${primary[$from]}"
  for to in "${kinds[@]}"; do
    check "$from to $to: other data before" copy "$folder/garbage" "${secondary[$to]}"
    check "$from to $to" copy "${primary[$from]}" "${secondary[$to]}"
    check "$from to $to is exact" exact "$folder/truth" "${secondary[$to]}"
  done
done
finish_checks
