#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: arrays of mdadm over fully provisioned LUNs are copied by the tables of contents to thin
# LUNs. Of a RAID1's members only what its file system uses is copied, of other members all. The
# arrays, assembled read-only from the copies alone, have every file, and e2fsck is content.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"
# shellcheck source=tests/system/analyse_parts.sh
. "$LAB_REPO/tests/system/analyse_parts.sh"

readonly lun_bytes=$((40 << 20)) array=/dev/md9
export MDADM_NO_UDEV=1

make_array() { # LEVEL MEMBERS OPTION...
  mdadm --zero-superblock --force "${primaries[@]}" 2>/dev/null
  mdadm --create "$array" --run --level="$1" --raid-devices="$2" "${@:3}" \
    "${primaries[@]:0:$2}" && mkfs.ext4 -q -F -E nodiscard "$array" &&
    mount "$array" /mnt/primary && fill /mnt/primary 5 0.3
}

# mdadm says 1 where there is nothing to wait for.
put_away() {
  umount /mnt/primary && { mdadm --wait "$array" || true; } && mdadm --stop "$array"
}

try_copy() { # NAME MEMBER...
  check "$1: assembled, not to be written" mdadm --assemble --readonly --run "$array" "${@:2}"
  check "$1: e2fsck is content with it" e2fsck -fn "$array"
  check "$1: it can be mounted" mount -t ext4 -o ro,noload "$array" /mnt/copy
  check_equal "$1: every file is the same" "$expected" "$(sums /mnt/copy)"
  umount /mnt/copy
  check "$1: put away" mdadm --stop "$array"
}

# Up to the moment when the copies are there.
copy_array() { # NAME LEVEL MEMBERS OPTION...
  section "$1"
  check "$1: made and filled" make_array "${@:2}"
  expected=$(sums /mnt/primary)
  check "$1: put away" put_away
  check "$1: sync" mirror_pairs "$3" sync --overwrite
  result=$(<"$mirror_json")
  written=$(jq -r .written_bytes <<<"$result")
}

try_raid1() { # NAME OPTION...
  local bytes
  copy_array "$1" 1 2 "${@:2}"
  check_equal "$1: nothing is held against it" "[][]" "$(jq -c .notes <<<"$result" | tr -d '\n')"
  for bytes in $written; do
    check "$1: less than half of a member was copied: $bytes" \
      test "$bytes" -lt $((lun_bytes / 2)) -a "$bytes" -gt 3000000
  done
  check "$1: verify --allocated" mirror_pairs 2 verify --allocated
  result=$(<"$mirror_json")
  check_equal "$1: the checker is content with each member's part" "e2fsck -fn clean
e2fsck -fn clean" "$(jq -r '.checks[] | .checker + " " + .result + (if .result == "clean" then "" else ": " + .says end)' <<<"$result")"
  try_copy "$1, both copies" "${secondaries[@]:0:2}"
  try_copy "$1, one copy alone" "${secondaries[1]}"
}

try_other() { # NAME LEVEL MEMBERS OPTION...
  local bytes
  copy_array "$@"
  check_match "$1: why it is copied whole is noted" "no RAID1" "$(jq -r '.notes[]' <<<"$result")"
  for bytes in $written; do
    check_equal "$1: a member is copied whole" "$lun_bytes" "$bytes"
  done
  try_copy "$1, all copies" "${secondaries[@]:0:$3}"
}

mkdir -p /mnt/{files,primary,copy}
modprobe -a loop md-mod raid0 raid1 raid456 || bail_out "no software RAID"
echo 200000 >/proc/sys/dev/raid/speed_limit_min
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/files
start_stack
primaries=() secondaries=()
for i in 0 1 2; do
  full_create "full$i" "/mnt/files/full$i" "$lun_bytes" "0f$i"
  thin_create "thin$i" "/mnt/files/thin$i" "$lun_bytes" >/dev/null
  primaries+=("$(loop_create "500140500000010$i" "full$i")")
  secondaries+=("$(loop_create "500140500000020$i" "thin$i")")
done
[[ -b ${secondaries[0]} && -b ${secondaries[1]} && -b ${secondaries[2]} ]] || bail_out "no disks"
try_raid1 "RAID1" --bitmap=none --assume-clean
try_raid1 "RAID1, superblock at the end, a bitmap" --metadata=1.0 --bitmap=internal
try_other "RAID0" 0 2
try_other "RAID5" 5 3 --force
try_copy "RAID5, without one of the copies" "${secondaries[0]}" "${secondaries[2]}"
finish_checks
