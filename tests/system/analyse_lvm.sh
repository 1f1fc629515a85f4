#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: a volume group of LVM2 over two fully provisioned LUNs, made by its own programs and
# used through the kernel, is copied by the tables of contents to two thin LUNs. Put together from the
# copies alone it has every file, and the checker is content with each file system. What was never
# allocated isn't copied; snapshots, pools and volumes over both LUNs are copied whole.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"
# shellcheck source=tests/system/analyse_parts.sh
. "$LAB_REPO/tests/system/analyse_parts.sh"

readonly lun_bytes=$((160 << 20))
# There is no udev here, and no daemon that watches over a pool.
readonly config='activation{udev_sync=0 udev_rules=0 monitoring=0}
  global{use_lvmpolld=0 event_activation=0 thin_check_executable=""} backup{backup=0 archive=0}'
readonly devices='scan_lvs=0 use_devicesfile=0 obtain_device_list_from_udev=0'

# LVM's COMMAND, which sees only what is in the array disks.
lvm_do() { # COMMAND ARG...
  local command=$1 only
  only="[\"a|^${disks[0]}\$|\",\"a|^${disks[1]}\$|\",\"r|.*|\"]"
  shift
  LVM_SUPPRESS_FD_WARNINGS=1 "$command" --config \
    "$config devices{$devices filter=$only global_filter=$only}" "$@"
}

# plain: in one piece. linear: in two, around a hole. stripes_here: all on one LUN.
make_group() {
  lvm_do pvcreate -q "${disks[@]}" && lvm_do vgcreate -q -s 1M vg "${disks[@]}" &&
    lvm_do lvcreate -q -Wn -l 20 -n linear vg "${disks[0]}" &&
    lvm_do lvcreate -q -Wn -l 8 -n gone vg "${disks[0]}" &&
    lvm_do lvextend -q -l +20 vg/linear "${disks[0]}" &&
    lvm_do lvremove -q -f vg/gone &&
    lvm_do lvcreate -q -Wn -l 20 -n plain vg "${disks[1]}" &&
    lvm_do lvcreate -q -Wn -l 32 -i 2 -I 64k --alloc anywhere -n stripes_here vg "${disks[1]}" &&
    lvm_do lvcreate -q -Wn -l 32 -i 2 -I 64k -n stripes_over_both vg "${disks[@]}" &&
    lvm_do lvcreate -q -Wn -l 20 -n origin vg "${disks[1]}" &&
    lvm_do lvcreate -q -Wn -l 24 -T -V 32M -n thin vg/pool "${disks[0]}"
}

# A file system with files.
fill_volume() { # NAME SEED
  mkfs.ext4 -q -F -E nodiscard "/dev/vg/$1" && mount "/dev/vg/$1" /mnt/primary &&
    fill /mnt/primary "$2" 0.3 && umount /mnt/primary
}

change_origin() {
  mount /dev/vg/origin /mnt/primary && rm -r /mnt/primary/folder1 &&
    fill /mnt/primary/more 9 0.2 && umount /mnt/primary
}

note_files() { # NAME
  mount -o ro,noload "/dev/vg/$1" /mnt/primary && expected[$1]=$(sums /mnt/primary)
  umount /mnt/primary
}

try_copy() { # NAME
  check "$1: e2fsck is content with the copy" e2fsck -fn "/dev/vg/$1"
  check "$1: the copy can be mounted" mount -t ext4 -o ro,noload "/dev/vg/$1" /mnt/copy
  check_equal "$1: every file of the copy is the same" "${expected[$1]}" "$(sums /mnt/copy)"
  umount /mnt/copy
}

declare -A expected
readonly volumes=(plain linear stripes_here stripes_over_both origin thin)
mkdir -p /mnt/{files,primary,copy}
modprobe -a loop dm-mod dm-snapshot dm-thin-pool || bail_out "no device-mapper"
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/files
start_stack
primaries=() secondaries=()
for i in 0 1; do
  full_create "full$i" "/mnt/files/full$i" "$lun_bytes" "0f$i"
  thin_create "thin$i" "/mnt/files/thin$i" "$lun_bytes" >/dev/null
  primaries+=("$(loop_create "500140500000010$i" "full$i")")
  secondaries+=("$(loop_create "500140500000020$i" "thin$i")")
done
[[ -b ${secondaries[0]} && -b ${secondaries[1]} ]] || bail_out "no disks"

section "a group"
disks=("${primaries[@]}")
check "linear and striped volumes, and a pool" make_group
for i in "${!volumes[@]}"; do
  check "${volumes[i]}: filled" fill_volume "${volumes[i]}" "$i"
done
check "a snapshot" lvm_do lvcreate -q -s -l 16 -n frozen vg/origin "${disks[1]}"
check "its origin changes" change_origin
for name in "${volumes[@]}" frozen; do
  note_files "$name"
done
check_equal "seven file systems have files" 7 "$(printf '%s\n' "${expected[@]}" | grep -c ' \./late$')"
check "the snapshot isn't what the origin is" \
  test "${expected[frozen]}" != "${expected[origin]}"
check "the group is put away" lvm_do vgchange -q -an vg

section "its copy"
check "sync" mirror_pairs 2 sync --overwrite
result=$(<"$mirror_json")
check_equal "the tables of contents told" analyse "$(jq -r .source_map <<<"$result" | sort -u)"
written=$(jq -s 'map(.written_bytes) | add' <<<"$result")
# One of 32 MiB over both LUNs, 20 and 16 of origin and snapshot, 24 and 4 of the pool.
check "of $((2 * lun_bytes)) bytes less than half were copied, but all that counts as a whole: $written" \
  test "$written" -lt "$lun_bytes" -a "$written" -ge $((96 << 20))
check "verify --allocated" mirror_pairs 2 verify --allocated
result=$(<"$mirror_json")
check_equal "the three file systems that lie in one LUN were looked into" "e2fsck -fn clean
e2fsck -fn not run: it does not lie in one piece
e2fsck -fn not run: it does not lie in one piece" "$(jq -r '.checks[] | .checker + " " + .result + (if .result == "clean" then "" else ": " + .says end)' <<<"$result" | sort)"

section "the group from the copies alone"
disks=("${secondaries[@]}")
check_match "LVM finds all of it there" "^ *vg +2 +8 +1 wz--n-" \
  "$(lvm_do vgs --noheadings -o vg_name,pv_count,lv_count,snap_count,vg_attr vg)"
check "it is taken into use" lvm_do vgchange -q -ay vg
for name in "${volumes[@]}" frozen; do
  try_copy "$name"
done
check "and put away" lvm_do vgchange -q -an vg
finish_checks
