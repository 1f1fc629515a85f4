#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: a volume of LVM2 is copied every night from a snapshot that is made anew, by the recipe
# that docs/thinmirror.md has, exactly as it stands there. No night needs --overwrite, whichever side
# has grown, and what is not the pair's is refused.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2024-01.org.example:db-copy
readonly secondary=iscsi://san2/$iqn/0
recipe=$(sed -n '/^    lvcreate --snapshot/,/^    lvremove/s/^ *//p' "$LAB_REPO/docs/thinmirror.md")

# There is no udev here, and nobody who would watch over a snapshot.
export LVM_SYSTEM_DIR=/tmp/lvm LVM_SUPPRESS_FD_WARNINGS=1 XDG_STATE_HOME=/tmp/state
mkdir "$LVM_SYSTEM_DIR"
cat >"$LVM_SYSTEM_DIR/lvm.conf" <<END
activation { udev_sync=0 udev_rules=0 monitoring=0 }
global { use_lvmpolld=0 event_activation=0 }
backup { backup=0 archive=0 }
devices { scan_lvs=0 use_devicesfile=0 obtain_device_list_from_udev=0 filter=["a|^${LAB_DISKS#* }\$|","r|.*|"] }
END

# The database, also while it is mounted.
change() { # SEED
  mkdir -p "/mnt/db/$1" && head -c 3M /dev/urandom >"/mnt/db/$1/data" && sync -f /mnt/db
}
night() { # NAME
  check "$1" bash -ec "$recipe"
  check_equal "$1: the snapshot is gone" "" "$(lvs --noheadings -o lv_name vg | grep snap)"
}
# The files of both sides, with the file system at rest.
files_alike() {
  local disk status=0
  disk=$(iscsi_login "$iqn") || return
  mount -o ro,noload "$disk" /mnt/copy && diff -r /mnt/db /mnt/copy || status=1
  umount /mnt/copy
  iscsi_logout "$iqn" && return "$status"
}
same() { # NAME
  mount -o remount,ro /mnt/db && blockdev --flushbufs /dev/vg/db
  check "$1" bash -ec "$recipe"
  check "$1: both are alike" thinmirror verify /dev/vg/db "$secondary"
  check "$1: all files are there" files_alike
  mount -o remount,rw /mnt/db
}
identity() {
  lvcreate --quiet --snapshot --name db-snap --size 10G vg/db >/dev/null 2>&1
  thinmirror probe --json /dev/vg/db-snap | jq -r .primary_identity
  lvremove --quiet --yes vg/db-snap >/dev/null 2>&1
}

mkdir -p /mnt/xfs /mnt/db /mnt/copy
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/xfs
modprobe dm_snapshot || bail_out "dm_snapshot does not load"
start_stack
echo "127.0.0.1 san2" >>/etc/hosts
check_equal "the recipe has three commands" 3 "$(wc -l <<<"$recipe")"
check "a volume group" vgcreate --quiet vg "${LAB_DISKS#* }"
check "a volume" lvcreate --quiet -Wn -L 64M -n db vg
check "with a file system" mkfs.ext4 -q -F -E nodiscard /dev/vg/db
check "that is in use" mount /dev/vg/db /mnt/db
check "the secondary" thin_create db-copy /mnt/xfs/db-copy 64M
check "its target" target_create "$iqn" db-copy

section "every night"
change 1
night "the first night"
change 2
night "the second night"
first=$(identity)
second=$(identity)
check "a snapshot has an identity, $first" test -n "$first"
check "and another one each time, $second" test "$first" != "$second"
change 3
same "the third night"

section "what is not the pair's"
lvcreate --quiet --snapshot --name db-snap --size 10G vg/db
check_fails "without the name it is another primary" 3 "--pair=db" \
  thinmirror sync /dev/vg/db-snap "$secondary"
check_fails "with another name, too" 3 "pair db" \
  thinmirror sync --pair=other /dev/vg/db-snap "$secondary"
lvremove --quiet --yes vg/db-snap

section "growth"
echo $((96 << 20)) >"$target/core/user_0/db-copy/attrib/dev_size"
check_equal "the secondary grows first" $((96 << 20)) \
  "$(thinmirror probe --json "$secondary" | jq .lun_bytes)"
change 4
same "the night after that"
check "the volume grows" lvextend --quiet -L 96M vg/db
check "and its file system" resize2fs /dev/vg/db
change 5
same "the night after this"

section "a replica that was used"
disk=$(iscsi_login "$iqn")
dd if=/dev/urandom of="$disk" bs=1M count=4 seek=80 oflag=direct status=none
iscsi_logout "$iqn"
lvcreate --quiet --snapshot --name db-snap --size 10G vg/db
check_fails "is refused by that name, too" 3 "written to by something else" \
  thinmirror sync --pair=db /dev/vg/db-snap "$secondary"
check "until it is said" thinmirror sync --pair=db --overwrite /dev/vg/db-snap "$secondary"
lvremove --quiet --yes vg/db-snap
night "and the night after that needs nothing again"

section "a file made anew each time"
truncate -s 32M /mnt/xfs/original && head -c 5M /dev/urandom | dd of=/mnt/xfs/original conv=notrunc status=none
for night in 1 2 3; do
  head -c 64K /dev/urandom | dd of=/mnt/xfs/original seek=$night bs=1M conv=notrunc status=none
  cp --reflink=always /mnt/xfs/original "/mnt/xfs/snap$night"
  [[ -e /mnt/xfs/copy ]] || truncate -s 32M /mnt/xfs/copy
  check "night $night" thinmirror sync --pair=file --verify "/mnt/xfs/snap$night" /mnt/xfs/copy
  rm "/mnt/xfs/snap$night"
done
check_equal "the ledgers of both pairs are listed" "db file" \
  "$(thinmirror ledgers --json | jq -r '[.ledgers[].pair] | sort | join(" ")')"
check "one is forgotten" thinmirror forget --pair=db
check_fails "and then it is needed again" 3 "overwrite" bash -ec "$recipe"
finish_checks
