#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: reservations, and mappings that are read-only, of a LUN that three nexuses share: over
# iSCSI its holder, through tcm_loop a registrant and a stranger. The kernel's target refuses by the
# direction of a command's data; what carries none is the handler's to refuse.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:reserved volume=/mnt/tmpfs/reserved
nexuses() { # PART [DEVICE]
  "$LAB_REPO/tests/system/reservations.py" "$1" "$holder" "$registrant" "$stranger" "$volume" \
    "${@:2}"
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=256m tmpfs /mnt/tmpfs
start_stack
mkdir -p "$(<"$target/dbroot")/pr"
thinvol create "$volume" 1M
thinvol create /mnt/tmpfs/other 1M
check "the LUN" backstore_create reserved "thin/$volume;copy=one" $((1 << 20)) 512
check "another one of its group" backstore_create other "thin//mnt/tmpfs/other;copy=one" $((1 << 20)) 512
check "its target" target_create "$iqn" reserved
holder=$(iscsi_login "$iqn")
registrant=$(loop_create 5001405000000001 reserved)
stranger=$(loop_create 5001405000000002 reserved)
other=$(loop_create 5001405000000003 other)

section "every command without Data-Out, every reservation, everybody"
check "who may write is told by the reservation" nexuses table
check "random commands of a stranger change nothing" nexuses sweep
check "a copy sent to another LUN respects the reservation" nexuses copy "$other"

section "what cannot be looked at is refused"
place=$target/core/user_0/reserved
check "something hides the reservation" mount -t tmpfs tmpfs "$place/pr"
check_fails "then it is taken for made" 24 . sg_raw "$holder" 04 00 00 00 00 00
umount "$place/pr"
check "and what can be seen is served" sg_raw "$holder" 04 00 00 00 00 00

section "a mapping that is read-only"
group=$target/iscsi/$iqn/tpgt_1
mkdir "$group/acls/iqn.2026-01.lab.thinmirror:reader" "$group/acls/iqn.2026-01.lab.thinmirror:reader/lun_4"
ln -s "$group/lun/lun_0" "$group/acls/iqn.2026-01.lab.thinmirror:reader/lun_4/link"
check "of an ACL that may write" sg_raw "$holder" 04 00 00 00 00 00
echo 1 >"$group/acls/iqn.2026-01.lab.thinmirror:reader/lun_4/write_protect"
stranger_before=$stranger
cat >/run/reader.iface <<<"iface.initiatorname = iqn.2026-01.lab.thinmirror:reader"
iscsiadm -m iface -I reader -o new >/dev/null
iscsiadm -m iface -I reader -o update -n iface.initiatorname -v iqn.2026-01.lab.thinmirror:reader >/dev/null
iscsiadm -m node -T "$iqn" -p 127.0.0.1:3260 -I reader -o new >/dev/null
before=$(ls -d /sys/class/iscsi_session/session*)
iscsiadm -m node -T "$iqn" -p 127.0.0.1:3260 -I reader --login >/dev/null
session=$(comm -13 <(echo "$before") <(ls -d /sys/class/iscsi_session/session*))
reader=$(disk_at "$(basename "$session"/device/target*/*:*:*:4)")
check_match "the reader's disk is another one" '^/dev/sd' "$reader"
check_fails "the kernel refuses its writes" 1 . dd if=/dev/zero of="$reader" bs=512 count=1 oflag=direct
stranger=$reader
check "what carries no data is refused from all" nexuses read_only
iscsiadm -m node -T "$iqn" -I reader --logout >/dev/null
stranger=$stranger_before
rm "$group/acls/iqn.2026-01.lab.thinmirror:reader/lun_4/link"
rmdir "$group/acls/iqn.2026-01.lab.thinmirror:reader/"{lun_4,}
echo 1 >"$group/attrib/demo_mode_write_protect"
check "so it is where initiators without an ACL may not write" nexuses read_only
echo 0 >"$group/attrib/demo_mode_write_protect"
check "all is served when everybody may write" sg_raw "$holder" 04 00 00 00 00 00
iscsi_logout "$iqn"
finish_checks
