#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# One thin LUN, on one iSCSI target, open to every initiator that reaches this machine.
# Run as root. The volume is made when it is missing; one that exists is exported as it is.
set -euo pipefail
if (($# > 0)); then
  echo "usage: $0, with settings in the environment; the top of the file lists them" >&2
  exit 2
fi

# Change these here, or set them in the environment:
: "${VOLUME:=/srv/thin/disk1}"             # the volume, a sparse file
: "${SIZE:=10G}"                           # its size when it has to be made
: "${BLOCK_SIZE:=512}"                     # 512 or 4096; the volume keeps it for ever
: "${RING_MIB:=8}"                          # memory the kernel keeps for it, 1 or more; 1 does for many LUNs
: "${NAME:=disk1}"                         # targetcli's name for it
: "${IQN:=iqn.2026-11.org.example:$NAME}" # the target's name

if [[ ! -e $VOLUME ]]; then
  mkdir -p "$(dirname "$VOLUME")"
  thinvol create --block-size="$BLOCK_SIZE" "$VOLUME" "$SIZE"
fi

# The size and the block size told to the kernel must be the volume's own. Two slashes after
# "cfgstring=" would do no harm; options follow the path as ;option=value.
targetcli <<EOF || true
/backstores/user:thin create name=$NAME size=$(stat -c %s "$VOLUME") cfgstring=$VOLUME control=hw_block_size=$BLOCK_SIZE,cmd_ring_size_mb=$RING_MIB
/iscsi create $IQN
/iscsi/$IQN/tpg1/luns create /backstores/user:thin/$NAME
/iscsi/$IQN/tpg1 set attribute authentication=0 demo_mode_write_protect=0 generate_node_acls=1 cache_dynamic_acls=1
saveconfig
EOF

# targetcli goes on after a line that failed and then still ends with 0, so its status says little:
# look at what is there.
if [[ ! -d /sys/kernel/config/target/iscsi/$IQN/tpgt_1/lun/lun_0 ]]; then
  echo "The LUN was not made; /var/log/tcmu-runner.log or thindoctor says why." >&2
  exit 1
fi
# The kernel writes persistent reservations down here, and makes no folder for them.
mkdir -p "$(cat /sys/kernel/config/target/dbroot)/pr"

echo "
$VOLUME is LUN 0 of $IQN. On the initiator:
  iscsiadm -m discovery -t sendtargets -p $(hostname)
  iscsiadm -m node -T $IQN -p $(hostname) --login"
